#include "gui/document.h"

#include <QSignalSpy>

#include "tests/gui/gui_test_support.h"

namespace tera::gui {
namespace {

constexpr const char* kText =
    "name: toy  # the name\nmodel:\n  preset: tiny-moe\n  num_experts: 4\n  router_top_k: "
    "2\ncluster:\n  preset: this-machine\n";

TEST(Document, ParsesAndValidates) {
  Document document;
  document.reset(kText);
  EXPECT_TRUE(document.isGood());
  EXPECT_EQ(document.spec().name, "toy");
  EXPECT_EQ(document.spec().model.num_experts, 4);
  EXPECT_TRUE(document.isClean());
}

TEST(Document, FormEditPatchesTheTextAndKeepsComments) {
  Document document;
  document.reset(kText);
  ASSERT_TRUE(document.setField("model.num_experts", "8"));
  EXPECT_EQ(document.spec().model.num_experts, 8);
  EXPECT_TRUE(document.text().contains("num_experts: 8"));
  EXPECT_TRUE(document.text().contains("name: toy  # the name"));
  EXPECT_FALSE(document.isClean());
}

TEST(Document, UndoAndRedoGoThroughFormAndText) {
  Document document;
  document.reset(kText);
  ASSERT_TRUE(document.setField("model.num_experts", "8"));
  document.setText(document.text() + "training:\n  num_steps: 7\n");
  EXPECT_EQ(document.spec().training.num_steps, 7);
  EXPECT_EQ(document.undoStack()->count(), 2);
  document.undoStack()->undo();
  EXPECT_EQ(document.spec().training.num_steps, spec::TrainingConfig().num_steps);
  EXPECT_EQ(document.spec().model.num_experts, 8);
  document.undoStack()->undo();
  EXPECT_EQ(document.text(), QString(kText));
  EXPECT_EQ(document.spec().model.num_experts, 4);
  document.undoStack()->redo();
  document.undoStack()->redo();
  EXPECT_EQ(document.spec().training.num_steps, 7);
}

TEST(Document, ASweepOverOneFieldIsOneStep) {
  Document document;
  document.reset(kText);
  for (const char* value : {"5", "6", "7", "8"})
    ASSERT_TRUE(document.setField("model.num_experts", value));
  EXPECT_EQ(document.undoStack()->count(), 1);
  ASSERT_TRUE(document.setField("model.num_layers", "3"));
  EXPECT_EQ(document.undoStack()->count(), 2);
  document.undoStack()->undo();
  document.undoStack()->undo();
  EXPECT_EQ(document.text(), QString(kText));
}

TEST(Document, ASweepBackToTheStartLeavesNoStep) {
  Document document;
  document.reset(kText);
  ASSERT_TRUE(document.setField("model.num_experts", "5"));
  ASSERT_TRUE(document.setField("model.num_experts", "4"));
  EXPECT_EQ(document.undoStack()->count(), 0);
  EXPECT_TRUE(document.isClean());
}

TEST(Document, BrokenTextKeepsTheLastGoodSpec) {
  Document document;
  document.reset(kText);
  const QSignalSpy specs(&document, &Document::specChanged);
  document.setText("name: toy\nmodel:\n  num_experts: [\n");
  EXPECT_FALSE(document.isGood());
  EXPECT_EQ(document.spec().model.num_experts, 4);
  EXPECT_EQ(specs.count(), 0);
  ASSERT_FALSE(document.diagnostics().empty());
  EXPECT_GT(document.diagnostics().front().line, 0);
  const Result<void> refused = document.setField("model.num_experts", "8");
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("last good version"), std::string::npos);
  document.undoStack()->undo();
  EXPECT_TRUE(document.isGood());
}

TEST(Document, KnowsWhetherItEverWasGood) {
  Document document;
  document.reset("name: [\n");
  EXPECT_FALSE(document.wasGood());
  document.setText(kText);
  EXPECT_TRUE(document.wasGood());
  document.setText("name: [\n");
  EXPECT_TRUE(document.wasGood());
  document.reset("name: [\n");
  EXPECT_FALSE(document.wasGood()) << "another file begins anew";
}

TEST(Document, RefusesWhatTheSpecRefuses) {
  Document document;
  document.reset(kText);
  EXPECT_FALSE(document.setField("model.num_experts", "many"));
  EXPECT_FALSE(document.setField("model.no_such_field", "1"));
  EXPECT_EQ(document.undoStack()->count(), 0);
}

TEST(Document, ValidationFindsTheLineOfItsField) {
  Document document;
  document.reset(kText);
  ASSERT_TRUE(document.setField("model.router_top_k", "7"));  // of 4 experts
  bool found = false;
  for (const Diagnostic& d : document.diagnostics())
    found = found || (d.severity == Severity::error && d.line > 0);
  EXPECT_TRUE(found);
}

TEST(Document, PresetReplacesItsSectionOnly) {
  Document document;
  document.reset(kText);
  document.applyModelPreset("mixtral-8x7b");
  EXPECT_EQ(document.spec().model.num_experts, 8);
  EXPECT_EQ(document.spec().model.hidden_size, 4096);
  EXPECT_EQ(document.spec().name, "toy");
  document.undoStack()->undo();
  EXPECT_EQ(document.spec().model.num_experts, 4);
}

TEST(Document, EveryFieldOfTheFormCanBeSetToItsOwnValue) {
  Document document;
  document.reset(kText);
  for (const spec::FieldInfo& info : spec::all_fields()) {
    if (info.kind == spec::FieldInfo::Kind::list) continue;
    const Result<std::string> value = spec::get_field(document.spec(), info.path);
    ASSERT_TRUE(value) << info.path;
    EXPECT_TRUE(document.setField(info.path, *value)) << info.path;
  }
  EXPECT_EQ(document.text(), QString(kText));
}

}  // namespace
}  // namespace tera::gui
