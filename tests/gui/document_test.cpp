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

// What YAML would read as a number, a list, a comment or nothing is written in quotes, and the
// comments of the author stay.
TEST(Document, TextsThatYamlReadsOtherwiseAreQuoted) {
  for (const char* value : {"a: b", "true", "1.0", "0x10",  "# x",   "",          "null",  "~",
                            "- x",  "[x",   "{a",  "it's",  "\"q\"", "two words", " lead", "café",
                            "*a",   "&a",   "!t",  "a # b", "a\\b",  "%x",        "@x",    "`x"}) {
    Document document;
    document.reset(QString("# mine\n") + kText + "data:\n  tokenizer: words.json  # small\n");
    ASSERT_TRUE(document.setField("data.tokenizer", value)) << value;
    EXPECT_EQ(document.spec().data.tokenizer, value);
    EXPECT_TRUE(document.isGood()) << value;
    EXPECT_TRUE(document.text().startsWith("# mine\n")) << value;
    EXPECT_TRUE(document.text().contains("# the name")) << value;
    EXPECT_TRUE(document.text().contains("# small")) << value;
  }
}

// A section in a shape that is not patched is written anew alone; the rest stays as it is.
TEST(Document, AnUnusualSectionIsRewrittenAlone) {
  Document document;
  document.reset(
      "name: toy  # the name\nmodel: {preset: tiny-moe,\n  num_experts: 4}\n# machines\ncluster:\n"
      "  preset: this-machine\n");
  ASSERT_TRUE(document.isGood());
  const spec::RunSpec before = document.spec();
  ASSERT_TRUE(document.setField("model.num_experts", "16"));
  spec::RunSpec wanted = before;
  wanted.model.num_experts = 16;
  EXPECT_EQ(document.spec(), wanted);
  EXPECT_TRUE(document.text().startsWith("name: toy  # the name\nmodel: "))
      << document.text().toStdString();
  EXPECT_TRUE(document.text().endsWith("# machines\ncluster:\n  preset: this-machine\n"))
      << document.text().toStdString();
}

// With every field and a comment in the text, an edit changes one line and keeps its comment.
TEST(Document, AnEditOfAFullTextChangesOneLine) {
  Document document;
  document.reset(kText);
  const QString full = qs(spec::to_yaml(document.spec(), true));
  for (const auto& [path, value] :
       {std::pair{"model.num_experts", "16"}, std::pair{"training.learning_rate", "0.25"},
        std::pair{"layout.recompute", "full"}, std::pair{"model.tie_embeddings", "true"},
        std::pair{"seed", "99"}, std::pair{"cluster.device.peak_power_w", "55"}}) {
    document.reset(full);
    ASSERT_TRUE(document.setField(path, value)) << path;
    const QStringList before = full.split('\n'), after = document.text().split('\n');
    ASSERT_EQ(before.size(), after.size()) << path;
    int changed = 0;
    for (qsizetype i = 0; i < before.size(); ++i) {
      if (before[i] == after[i]) continue;
      ++changed;
      EXPECT_EQ(before[i].section('#', 1), after[i].section('#', 1)) << path;
    }
    EXPECT_EQ(changed, 1) << path;
  }
}

TEST(Document, WindowsLineEndsSurviveAnEdit) {
  Document document;
  document.reset(QString(kText).replace("\n", "\r\n"));
  ASSERT_TRUE(document.isGood());
  ASSERT_TRUE(document.setField("model.num_experts", "8"));
  EXPECT_EQ(document.text(),
            QString(kText).replace("\n", "\r\n").replace("num_experts: 4", "num_experts: 8"));
}

TEST(Document, SignalsComeOnceAndAfterTheState) {
  Document document;
  document.reset(kText);
  int experts = 0;
  bool good = false;
  QObject::connect(&document, &Document::specChanged, &document,
                   [&] { experts = document.spec().model.num_experts; });
  QObject::connect(&document, &Document::diagnosticsChanged, &document,
                   [&] { good = document.isGood(); });
  const QSignalSpy texts(&document, &Document::textChanged);
  const QSignalSpy specs(&document, &Document::specChanged);
  ASSERT_TRUE(document.setField("model.num_experts", "8"));
  EXPECT_EQ(texts.count(), 1);
  EXPECT_EQ(specs.count(), 1);
  EXPECT_EQ(experts, 8);
  EXPECT_TRUE(good);
  document.setText(document.text() + "# a comment changes no value\n");
  EXPECT_EQ(specs.count(), 1);
  ASSERT_TRUE(document.setField("model.num_experts", "8"));  // as it is
  EXPECT_EQ(texts.count(), 2);
}

TEST(Document, UndoNamesWhatItTakesBack) {
  Document document;
  document.reset(kText);
  ASSERT_TRUE(document.setField("model.num_experts", "8"));
  EXPECT_EQ(document.undoStack()->undoText(), "change of model.num_experts");
  document.applyClusterPreset("h100-ib");
  EXPECT_EQ(document.undoStack()->undoText(), "cluster preset h100-ib");
  document.setText(document.text() + "seed: 5\n");
  EXPECT_EQ(document.undoStack()->undoText(), "typing in YAML");
}

}  // namespace
}  // namespace tera::gui
