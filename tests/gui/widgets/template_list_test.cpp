#include "gui/widgets/template_list.h"

#include <QLayout>
#include <QPushButton>
#include <QSignalSpy>

#include "core/plan/param_table.h"
#include "tests/gui/gui_test_support.h"

namespace tera::gui {
namespace {

struct List {
  List() {
    list.resize(350, 200);
    list.show();
    EXPECT_TRUE(QTest::qWaitForWindowActive(&list));
    EXPECT_TRUE(test::waitFor([this] { return list.isReady(); }));
  }
  TemplateList list;
};

TEST(TemplateList, HasEveryPresetSmallestFirst) {
  const List l;
  const auto names = spec::model_preset_names().value();
  EXPECT_EQ(l.list.count(), static_cast<int>(names.size()));
  std::vector<double> sizes;
  for (const auto* button : l.list.findChildren<QPushButton*>()) {
    const std::string name = ss(button->accessibleName().section(' ', -1));
    sizes.push_back(
        static_cast<double>(plan::count_params(spec::model_preset(name).value().model).total));
  }
  EXPECT_EQ(sizes.size(), names.size());
  EXPECT_TRUE(std::is_sorted(sizes.begin(), sizes.end()));
}

TEST(TemplateList, AButtonChoosesItsPreset) {
  List l;
  const QSignalSpy chosen(&l.list, &TemplateList::chosen);
  for (auto* button : l.list.findChildren<QPushButton*>())
    if (button->accessibleName().endsWith("deepseek-v3")) button->click();
  ASSERT_EQ(chosen.count(), 1);
  EXPECT_EQ(chosen.at(0).at(0).toString(), "deepseek-v3");
}

TEST(TemplateList, ButtonsHaveRoomForBothLinesAndScroll) {
  List l;
  const auto buttons = l.list.findChildren<QPushButton*>();
  EXPECT_TRUE(test::waitFor(  // they are shown and laid out in turns of the event loop
      [&] { return l.list.widget()->height() > l.list.viewport()->height(); }));
  for (const auto* button : buttons)
    EXPECT_GE(button->height(), button->layout()->sizeHint().height());
  buttons.first()->setFocus();
  for (qsizetype i = 1; i < buttons.size(); ++i)
    QTest::keyClick(QApplication::focusWidget(), Qt::Key_Tab);
  EXPECT_EQ(QApplication::focusWidget(), buttons.last());
  EXPECT_TRUE(l.list.viewport()->rect().contains(
      buttons.last()->mapTo(l.list.viewport(), buttons.last()->rect().center())))
      << "Tab brings it into view";
}

}  // namespace
}  // namespace tera::gui
