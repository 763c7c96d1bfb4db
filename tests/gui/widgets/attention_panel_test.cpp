#include "gui/widgets/attention_panel.h"

#include <QTableView>

#include "gui/text.h"
#include "tests/gui/gui_test_support.h"

namespace tera::gui {
namespace {

Diagnostic finding(Severity severity, const char* field, const char* hint) {
  return {.severity = severity, .field = field, .message = "m", .hint = hint};
}

struct Panel {
  Panel() {
    panel.resize(400, 300);
    panel.show();
    EXPECT_TRUE(QTest::qWaitForWindowExposed(&panel));
    table = panel.findChild<QTableView*>();
  }
  bool shows(const QString& text) const {
    for (const auto* label : panel.findChildren<ToneLabel*>())
      if (label->isVisible() && label->text() == text) return true;
    return false;
  }
  AttentionPanel panel;
  QTableView* table = nullptr;
};

TEST(AttentionPanel, NothingFoundSaysWhatWasWatched) {
  Panel p;
  p.panel.setFindings({}, "✓ Nothing.", ToneLabel::Ok);
  EXPECT_TRUE(p.shows("✓ Nothing."));
  EXPECT_FALSE(p.table->isVisible());
  EXPECT_EQ(p.panel.advice(), "");
}

TEST(AttentionPanel, FindingsAreListedWorstFirstWithAdviceForTheFirst) {
  Panel p;
  p.panel.setFindings(
      {finding(Severity::note, "a", "wait"), finding(Severity::error, "loss", "resume earlier")},
      "✓ Nothing.", ToneLabel::Ok);
  EXPECT_TRUE(p.table->isVisible());
  EXPECT_FALSE(p.shows("✓ Nothing."));
  EXPECT_EQ(p.panel.model().row(0).field, "loss");
  EXPECT_TRUE(p.shows("→ resume earlier"));
}

TEST(AttentionPanel, AdviceFollowsTheSelectedLine) {
  Panel p;
  p.panel.setFindings({finding(Severity::error, "a", "first"), finding(Severity::note, "b", ""),
                       finding(Severity::note, "c", "third")},
                      {}, ToneLabel::Ok);
  p.table->setCurrentIndex(p.panel.model().index(2, 0));
  EXPECT_EQ(p.panel.advice(), "→ third");
  p.table->setCurrentIndex(p.panel.model().index(1, 0));
  EXPECT_EQ(p.panel.advice(), "");
}

// Findings are judged anew with every look at the run; the line a person reads stays selected.
TEST(AttentionPanel, ARefreshKeepsTheSelection) {
  Panel p;
  const std::vector<Diagnostic> found = {finding(Severity::error, "a", "first"),
                                         finding(Severity::note, "b", "second")};
  p.panel.setFindings(found, {}, ToneLabel::Ok);
  p.table->setCurrentIndex(p.panel.model().index(1, 0));
  p.panel.setFindings(found, {}, ToneLabel::Ok);
  EXPECT_EQ(p.table->currentIndex().row(), 1);
  EXPECT_EQ(p.panel.advice(), "→ second");
  p.panel.setFindings({found[0]}, {}, ToneLabel::Ok);
  EXPECT_EQ(p.panel.advice(), "→ first");
}

}  // namespace
}  // namespace tera::gui
