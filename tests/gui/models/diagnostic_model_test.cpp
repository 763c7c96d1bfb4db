#include "gui/models/diagnostic_model.h"

#include "tests/gui/models/model_test_support.h"

namespace tera::gui {
namespace {

using test::kFatal;
using test::Tester;
using test::text;

TEST(DiagnosticModel, WorstFirstAndTester) {
  DiagnosticModel model;
  const Tester tester(&model, kFatal);
  model.setDiagnostics(
      {{.severity = Severity::note, .field = "a", .message = "m", .hint = ""},
       {.severity = Severity::error, .field = "b", .message = "n", .hint = "h", .line = 3}});
  EXPECT_EQ(text(model, 0, DiagnosticModel::FieldColumn), "b");
  EXPECT_EQ(text(model, 0, DiagnosticModel::LineColumn), "3");
  EXPECT_EQ(text(model, 1, DiagnosticModel::LineColumn), "");
  EXPECT_EQ(model.count(Severity::error), 1);
  model.setDiagnostics({});
  EXPECT_EQ(model.rowCount(), 0);
}

TEST(DiagnosticModel, SaysSeverityInShapeAndWord) {
  EXPECT_EQ(DiagnosticModel::severityText(Severity::error), "■ error");
  EXPECT_EQ(DiagnosticModel::severityText(Severity::warning), "▲ warning");
  EXPECT_EQ(DiagnosticModel::severityText(Severity::note), "● note");
}

Diagnostic finding(Severity severity, const char* field) {
  return {.severity = severity, .field = field, .message = "", .hint = ""};
}

TEST(DiagnosticModel, KeepsTheOrderOfFindingsOfOneSeverity) {
  DiagnosticModel model;
  model.setDiagnostics({finding(Severity::warning, "first"), finding(Severity::error, "worst"),
                        finding(Severity::warning, "second")});
  EXPECT_EQ(text(model, 0, DiagnosticModel::FieldColumn), "worst");
  EXPECT_EQ(text(model, 1, DiagnosticModel::FieldColumn), "first");
  EXPECT_EQ(text(model, 2, DiagnosticModel::FieldColumn), "second");
}

TEST(DiagnosticModel, TooltipHoldsTheHintThatAColumnMayHide) {
  DiagnosticModel model;
  model.setDiagnostics({{.field = "f", .message = "wrong", .hint = "do this"}});
  EXPECT_EQ(model.data(model.index(0, 0), Qt::ToolTipRole).toString(), "wrong\ndo this");
}

}  // namespace
}  // namespace tera::gui
