#include "gui/pages/design_page.h"

#include <QAction>
#include <QMenu>
#include <QPushButton>
#include <QSignalSpy>

#include "gui/widgets/docks.h"
#include "gui/widgets/estimate_strip.h"
#include "gui/widgets/quantity_box.h"
#include "gui/widgets/yaml_editor.h"
#include "tests/gui/test_window.h"

namespace tera::gui {
namespace {

using test::kToy;
using test::Window;

struct Design {
  explicit Design(const QString& text = kToy) {
    w.open(text);
    page = w.page<DesignPage>("design");
    EXPECT_TRUE(w.ready());
  }
  bool estimated() {
    return test::waitFor([this] { return !w.session.estimateBusy(); });
  }
  const EstimateTile& tile(int i) {
    return w.window.strip()->tiles()[static_cast<std::size_t>(i)]->tile();
  }
  Window w;
  DesignPage* page;
};

TEST(Design, TheStripFollowsTypingWithADelta) {
  Design d;
  ASSERT_TRUE(d.estimated());
  const QString memory = d.tile(1).value;
  EXPECT_TRUE(d.tile(1).delta.isEmpty());
  auto* box =
      qobject_cast<QuantityBox*>(d.page->form("model.num_experts")->editor("model.num_experts"));
  box->setFocus();
  box->selectAll();
  QTest::keyClicks(box, "32");
  ASSERT_TRUE(test::waitFor([&] { return d.tile(1).delta.startsWith("+"); }));
  EXPECT_NE(d.tile(1).value, memory);
  EXPECT_TRUE(d.tile(0).delta.startsWith("+"));
  d.w.session.document().undoStack()->undo();
  ASSERT_TRUE(test::waitFor([&] { return d.tile(1).delta.isEmpty(); }));
  EXPECT_EQ(d.tile(1).value, memory);
}

TEST(Design, APinnedBaselineIsWhatDeltasCountFrom) {
  Design d;
  ASSERT_TRUE(d.w.session.document().setField("model.num_experts", "32"));
  ASSERT_TRUE(d.estimated());
  EXPECT_FALSE(d.tile(1).delta.isEmpty());
  QTest::keyClick(&d.w.window, Qt::Key_B, Qt::ControlModifier);
  EXPECT_TRUE(d.tile(1).delta.isEmpty());
}

TEST(Design, ATileExplainsItsNumber) {
  Design d;
  ASSERT_TRUE(d.estimated());
  d.w.window.strip()->tiles()[1]->click();
  auto* panel = d.w.window.findChild<ExplainPanel*>();
  EXPECT_TRUE(panel->isVisible());
  EXPECT_EQ(panel->findChild<QTreeView*>()->currentIndex(), panel->model().find("memory"));
}

// A file that was broken from the start has no numbers, and the page says where it is broken, also
// when it is made after the file was read.
TEST(Design, SaysWhatIsBrokenInAFileThatNeverWasGood) {
  Design d("model: {preset: tiny-moe, num_expert: 4}\n");
  EXPECT_TRUE(d.page->banner()->message().contains("YAML line 1: model.num_expert: unknown key"))
      << ss(d.page->banner()->message());
  EXPECT_EQ(d.w.session.estimate(), nullptr);
  EXPECT_EQ(ss(d.w.session.estimateProblem()), "The YAML text has errors.");
}

TEST(Design, AFileThatNeverWasGoodIsMendedInThePaneAndComesAlive) {
  Design d(
      "name: toy\nmodel: {preset: tiny-moe, num_expert: 4}\ncluster: {preset: this-machine}\n");
  FieldForm* form = d.page->form("model.num_experts");
  EXPECT_FALSE(form->widget()->isEnabled());
  EXPECT_FALSE(d.page->findChild<QPushButton*>("presets")->isEnabled());
  for (EstimateTileButton* tile : d.w.window.strip()->tiles())
    EXPECT_EQ(tile->tile().value, "n/a");
  YamlEditor* yaml = d.w.window.yaml();
  ASSERT_TRUE(yaml->isVisible()) << "the pane is where it can be mended";
  EXPECT_EQ(yaml->textCursor().blockNumber(), 1) << "at the broken line";
  EXPECT_FALSE(yaml->isReadOnly());
  QTextCursor cursor = yaml->document()->find("num_expert");
  cursor.setPosition(cursor.selectionEnd());
  yaml->setTextCursor(cursor);
  QTest::keyClicks(yaml, "s");
  EXPECT_TRUE(form->widget()->isEnabled());
  EXPECT_TRUE(d.page->findChild<QPushButton*>("presets")->isEnabled());
  EXPECT_EQ(d.page->banner()->message(), "");
  EXPECT_EQ(qobject_cast<QuantityBox*>(form->editor("model.num_experts"))->value(), 4);
  ASSERT_TRUE(test::waitFor([&] { return d.tile(1).value != "n/a"; }));
}

// Numbers of the project before must not stand beside a file that cannot be read.
TEST(Design, ABrokenFileShowsNoNumbersOfTheProjectBefore) {
  Design d;
  ASSERT_TRUE(d.estimated());
  EXPECT_FALSE(d.page->findChild<ParameterCard*>()->model().rows().empty());
  d.w.open("][");
  ASSERT_TRUE(d.estimated());
  EXPECT_TRUE(d.page->findChild<ParameterCard*>()->model().rows().empty());
  EXPECT_TRUE(d.page->findChild<BlockDiagram*>()->accessibleDescription().startsWith("n/a"));
  EXPECT_EQ(d.tile(0).value, "n/a");
  EXPECT_FALSE(d.page->banner()->message().isEmpty());
}

TEST(Design, BrokenTypingKeepsTheLastEstimateAndSaysWhere) {
  Design d;
  ASSERT_TRUE(d.estimated());
  d.w.session.document().setText(
      QString(kToy).replace("  preset: tiny-moe", "  preset: tiny-moe\n  num_layers: many"));
  EXPECT_TRUE(d.page->banner()->message().contains("line 4")) << ss(d.page->banner()->message());
  EXPECT_TRUE(d.page->banner()->message().contains("last good version"));
  EXPECT_EQ(d.w.window.problems()->model().count(Severity::error), 1);
  EXPECT_NE(d.w.session.estimate(), nullptr);
  EXPECT_TRUE(d.w.window.strip()->tiles()[0]->accessibleDescription().contains("last spec"));
  d.page->banner()->findChild<QPushButton*>()->click();  // Go to line
  EXPECT_TRUE(d.w.window.yaml()->isVisible());
  EXPECT_EQ(d.w.window.yaml()->textCursor().blockNumber(), 3);
  d.w.session.document().undoStack()->undo();
  EXPECT_TRUE(d.page->banner()->message().isEmpty());
}

TEST(Design, ProblemsLeadToTheirField) {
  Design d;
  ASSERT_TRUE(d.w.session.document().setField("model.router_top_k", "60"));
  ASSERT_GT(d.w.window.problems()->model().count(Severity::error), 0);
  d.w.window.problems()->step(1);
  const std::string field = d.w.window.problems()->model().row(0).field;
  ASSERT_NE(d.page->form(field), nullptr) << field;
  EXPECT_EQ(QApplication::focusWidget(), d.page->form(field)->editor(field));
}

TEST(Design, AFieldOfAnotherTabIsBroughtToTheFront) {
  Design d;
  EXPECT_TRUE(d.page->focusField("layout.tensor_parallel_size"));
  EXPECT_TRUE(d.page->form("layout.tensor_parallel_size")->isVisible());
  EXPECT_FALSE(d.page->form("model.num_layers")->isVisible());
  EXPECT_FALSE(d.page->focusField("no.such.field"));
}

TEST(Design, PresetsReplaceTheModelOrTheClusterInOneStep) {
  Design d;
  auto* presets = d.page->findChild<QPushButton*>("presets");
  ASSERT_NE(presets, nullptr);
  emit presets->menu()->aboutToShow();
  const auto choose = [&](const QString& name) {
    for (QAction* action : presets->menu()->actions())
      if (action->text() == name) action->trigger();
  };
  choose("mixtral-8x7b");
  EXPECT_EQ(d.w.session.document().spec().model.hidden_size, 4096);
  choose("h100-ib");
  EXPECT_EQ(d.w.session.document().spec().cluster.preset, "h100-ib");
  EXPECT_EQ(d.w.session.document().undoStack()->count(), 2);
  EXPECT_EQ(
      qobject_cast<QuantityBox*>(d.page->form("model.hidden_size")->editor("model.hidden_size"))
          ->value(),
      4096);
}

TEST(Design, WithoutAProjectItLeadsToStart) {
  Window w;
  auto* page = w.page<DesignPage>("design");
  EXPECT_TRUE(page->isReady());
  QPushButton* visible = nullptr;
  for (auto* button : page->findChildren<QPushButton*>())
    if (button->isVisible()) visible = button;
  ASSERT_NE(visible, nullptr);
  visible->click();
  EXPECT_EQ(w.window.currentPageName(), "start");
}

}  // namespace
}  // namespace tera::gui
