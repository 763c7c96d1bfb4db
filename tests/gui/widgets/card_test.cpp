#include "gui/widgets/card.h"

#include <QHelpEvent>
#include <QSplitter>
#include <QToolTip>

#include "gui/theme.h"
#include "tests/gui/gui_test_support.h"

namespace tera::gui {
namespace {

TEST(Card, TitleIsItsNameForAScreenReader) {
  Card card("Memory");
  EXPECT_EQ(card.accessibleName(), "Memory");
  card.setTitle("Memory per device");
  EXPECT_EQ(card.accessibleName(), "Memory per device");
}

TEST(ToneLabel, FollowsThemeAndTone) {
  ToneLabel label("x", ToneLabel::Warning);
  label.show();
  for (const ThemeChoice choice : {ThemeChoice::Light, ThemeChoice::Dark}) {
    applyTheme(choice);
    QCoreApplication::processEvents();
    label.setTone(ToneLabel::Warning);
    EXPECT_EQ(label.palette().color(QPalette::WindowText), theme().warning);
    label.setTone(ToneLabel::Critical);
    EXPECT_EQ(label.palette().color(QPalette::WindowText), theme().critical);
  }
}

TEST(ToneLabel, WrappedTextAsksForTheHeightItNeeds) {
  QWidget window;
  window.resize(200, 400);
  auto* layout = new QVBoxLayout(&window);
  auto* label = new ToneLabel(QString("some words ").repeated(20));
  label->setWordWrap(true);
  layout->addWidget(label);
  layout->addStretch(1);
  window.show();
  ASSERT_TRUE(QTest::qWaitForWindowExposed(&window));
  for (const int width : {200, 120, 390}) {
    window.resize(width, 400);
    for (int i = 0; i < 3; ++i)
      QCoreApplication::processEvents();
    EXPECT_GE(label->height(), label->heightForWidth(label->width())) << width;
  }
  EXPECT_FALSE(label->hasHeightForWidth()) << "a scroll area would give it all it would like";
}

TEST(ElidedLabel, GivesUpWidthAndTellsAllInItsTooltip) {
  ElidedLabel label(QString("a/long/path/").repeated(10), ToneLabel::Normal);
  EXPECT_LT(label.minimumSizeHint().width(), label.sizeHint().width() / 4);
  label.resize(120, 20);
  label.show();
  QHelpEvent help(QEvent::ToolTip, {5, 5}, label.mapToGlobal(QPoint(5, 5)));
  QApplication::sendEvent(&label, &help);
  EXPECT_EQ(QToolTip::text(), label.text());
  QToolTip::hideText();
}

TEST(ElidedLabel, PaintsAnEllipsisNotAHalfLetter) {
  ElidedLabel cut("iiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiiii");
  cut.resize(60, 20);
  ElidedLabel whole(cut.fontMetrics().elidedText(cut.text(), Qt::ElideRight, 60));
  whole.resize(60, 20);
  EXPECT_EQ(cut.grab().toImage(), whole.grab().toImage());
}

TEST(Splitter, CannotHideItsPartsAndHasAName) {
  const std::unique_ptr<QSplitter> splitter(makeSplitter(Qt::Horizontal, "columns"));
  EXPECT_EQ(splitter->objectName(), "columns");
  EXPECT_FALSE(splitter->childrenCollapsible());
}

}  // namespace
}  // namespace tera::gui
