#include "gui/widgets/banner.h"

#include <QPushButton>
#include <QToolButton>
#include <QVBoxLayout>

#include "gui/theme.h"
#include "tests/gui/gui_test_support.h"

namespace tera::gui {
namespace {

TEST(Banner, ShowsAMessageWithAShapeForItsKind) {
  QWidget parent;
  Banner banner(&parent);
  EXPECT_EQ(banner.message(), "");
  banner.show("all is well", false);
  EXPECT_EQ(banner.message(), "●  all is well");
  EXPECT_EQ(banner.accessibleName(), "all is well");
  EXPECT_FALSE(banner.findChild<QPushButton*>()->isVisibleTo(&banner)) << "no action, no button";
  banner.show("look here", true);
  EXPECT_EQ(banner.message(), "▲  look here");
}

TEST(Banner, AnErrorHasItsHintBelow) {
  QWidget parent;
  Banner banner(&parent);
  banner.show(Error{ErrorCode::not_found, "x.yaml: there is no such file", "check the spelling"});
  EXPECT_EQ(banner.message(), "▲  x.yaml: there is no such file\ncheck the spelling");
  banner.show(Error{ErrorCode::failed, "it failed", ""});
  EXPECT_EQ(banner.message(), "▲  it failed");
}

TEST(Banner, ItsButtonRunsOnceAndCloses) {
  QWidget parent;
  Banner banner(&parent);
  int ran = 0;
  banner.show("again?", true, "Try again", [&] { ++ran; });
  auto* button = banner.findChild<QPushButton*>();
  EXPECT_EQ(button->text(), "Try again");
  button->click();
  EXPECT_EQ(ran, 1);
  EXPECT_EQ(banner.message(), "");
  button->click();
  EXPECT_EQ(ran, 1);
}

// What a button does may show the next message; that one must stay.
TEST(Banner, AnActionMayShowAnotherMessage) {
  QWidget parent;
  Banner banner(&parent);
  banner.show("first", true, "Go", [&] { banner.show("second", false); });
  banner.findChild<QPushButton*>()->click();
  EXPECT_EQ(banner.message(), "●  second");
}

TEST(Banner, TheCrossClosesWithoutRunning) {
  QWidget parent;
  Banner banner(&parent);
  bool ran = false;
  banner.show("m", true, "Go", [&] { ran = true; });
  banner.findChild<QToolButton*>()->click();
  EXPECT_EQ(banner.message(), "");
  EXPECT_FALSE(ran);
}

TEST(Banner, GrowsWithItsText) {
  QWidget parent;
  parent.resize(400, 300);
  auto* layout = new QVBoxLayout(&parent);
  auto* banner = new Banner;
  layout->addWidget(banner);
  layout->addStretch(1);
  parent.show();
  ASSERT_TRUE(QTest::qWaitForWindowExposed(&parent));
  banner->show("short", false);
  QCoreApplication::processEvents();
  const int one = banner->height();
  banner->show(QString("many words ").repeated(60), false);
  for (int i = 0; i < 3; ++i)
    QCoreApplication::processEvents();
  EXPECT_GT(banner->height(), 3 * one);
}

}  // namespace
}  // namespace tera::gui
