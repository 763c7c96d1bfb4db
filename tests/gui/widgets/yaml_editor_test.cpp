#include "gui/widgets/yaml_editor.h"

#include <QLineEdit>
#include <QTextBlock>

#include "gui/document.h"
#include "gui/pages/design_sections.h"
#include "gui/theme.h"
#include "gui/widgets/quantity_box.h"
#include "tests/gui/gui_test_support.h"

namespace tera::gui {
namespace {

using test::kToy;

TEST(YamlEditor, TypesIntoTheDocumentAndMarksErrors) {
  Document document;
  document.reset(kToy);
  YamlEditor editor(document);
  EXPECT_EQ(editor.toPlainText(), QString(kToy));
  editor.moveCursor(QTextCursor::End);
  editor.insertPlainText("training:\n  num_steps: 9\n");
  EXPECT_EQ(document.spec().training.num_steps, 9);
  editor.insertPlainText("  no_such_field: 1\n");
  EXPECT_FALSE(document.isGood());
  EXPECT_EQ(editor.markedLine(Severity::error), 8);
  document.undoStack()->undo();
  EXPECT_EQ(editor.toPlainText(), document.text());
}

TEST(YamlEditor, KeepsTheCursorWhenTheFormEdits) {
  Document document;
  document.reset("name: toy\nmodel:\n  preset: tiny-moe\n  num_layers: 4\nseed: 3\n");
  YamlEditor editor(document);
  editor.goToLine(5);
  const int block = editor.textCursor().blockNumber();
  ASSERT_TRUE(document.setField("model.num_experts", "16"));
  EXPECT_EQ(editor.toPlainText(), document.text());
  EXPECT_EQ(editor.textCursor().block().text(), "seed: 3");
  EXPECT_EQ(editor.textCursor().blockNumber(), block + 1);
}

// Both faces of one document: whoever edits, the other shows it, and the words of the author stay.
TEST(YamlEditor, PaneAndFormStayInSyncAndKeepComments) {
  const QString text =
      "# of mine\nname: toy  # short\nmodel:\n  preset: tiny-moe\n  # how many\n"
      "  num_experts: 4  # few\n  router_top_k: 2\ncluster:\n  preset: this-machine  # here\n";
  Document document;
  document.reset(text);
  YamlEditor pane(document);
  FieldForm form(document, modelSections());
  form.show();
  auto* experts = qobject_cast<QuantityBox*>(form.editor("model.num_experts"));
  experts->setFocus();
  experts->selectAll();
  QTest::keyClicks(experts, "16");
  EXPECT_EQ(pane.toPlainText(), QString(text).replace("num_experts: 4", "num_experts: 16"));
  pane.goToLine(7);
  pane.moveCursor(QTextCursor::EndOfLine);
  QTest::keyClick(&pane, Qt::Key_Backspace);
  QTest::keyClicks(&pane, "3");
  EXPECT_EQ(document.spec().model.router_top_k, 3);
  EXPECT_EQ(qobject_cast<QuantityBox*>(form.editor("model.router_top_k"))->value(), 3);
  EXPECT_TRUE(form.widget()->isEnabled());
  while (document.undoStack()->canUndo())
    document.undoStack()->undo();
  EXPECT_EQ(document.text(), text);
  EXPECT_EQ(pane.toPlainText(), text);
  EXPECT_EQ(experts->value(), 4);
  while (document.undoStack()->canRedo())
    document.undoStack()->redo();
  EXPECT_EQ(experts->value(), 16);
  EXPECT_EQ(document.spec().model.router_top_k, 3);
}

TEST(YamlEditor, WindowsLineEndsSurviveTyping) {
  Document document;
  const QString text = QString(kToy).replace("\n", "\r\n");
  document.reset(text);
  YamlEditor editor(document);
  EXPECT_EQ(editor.toPlainText(), QString(kToy));
  editor.goToLine(1);
  editor.moveCursor(QTextCursor::EndOfLine);
  QTest::keyClicks(&editor, "s");
  EXPECT_EQ(document.text(), QString(text).replace("toy\r", "toys\r"));
  EXPECT_EQ(document.spec().name, "toys");
}

TEST(YamlEditor, IsEditableWhileTheTextIsBroken) {
  Document document;
  document.reset("name: toy\nmodel: {preset: tiny-moe\n");
  YamlEditor editor(document);
  EXPECT_FALSE(document.isGood());
  EXPECT_GT(editor.markedLine(Severity::error), 0);
  EXPECT_FALSE(editor.isReadOnly());
  editor.goToLine(2);
  editor.moveCursor(QTextCursor::EndOfLine);
  QTest::keyClicks(&editor, "}");
  EXPECT_TRUE(document.isGood()) << ss(document.text());
  EXPECT_EQ(editor.markedLine(Severity::error), 0);
}

TEST(YamlEditor, MarksHaveAShapeAndAWordBesideTheColour) {
  Document document;
  document.reset(QString(kToy) + "seeds: 1\n");
  YamlEditor editor(document);
  editor.resize(500, 300);
  editor.show();
  ASSERT_TRUE(QTest::qWaitForWindowExposed(&editor));
  EXPECT_EQ(editor.markedLine(Severity::error), 6);
  ASSERT_EQ(editor.extraSelections().size(), 1);
  EXPECT_EQ(editor.extraSelections()[0].cursor.blockNumber(), 5);
  const QImage marked = editor.grab().toImage();
  document.setText(QString(kToy) + "seed: 1\n");
  EXPECT_TRUE(editor.extraSelections().isEmpty());
  EXPECT_NE(editor.grab().toImage(), marked);
}

TEST(YamlEditor, TabLeavesIt) {
  Document document;
  document.reset(kToy);
  QWidget window;
  YamlEditor editor(document, &window);
  QLineEdit next(&window);
  window.show();
  ASSERT_TRUE(QTest::qWaitForWindowExposed(&window));
  editor.setFocus();
  QTest::keyClick(&editor, Qt::Key_Tab);
  EXPECT_TRUE(next.hasFocus());
  EXPECT_EQ(document.text(), QString(kToy));
}

// A line of a text that ends with it exists, and one past it does not crash.
TEST(YamlEditor, GoesToTheFirstAndPastTheLastLine) {
  Document document;
  document.reset(kToy);
  YamlEditor editor(document);
  editor.goToLine(1);
  EXPECT_EQ(editor.textCursor().block().text(), "name: toy");
  editor.goToLine(4000);
  EXPECT_GE(editor.textCursor().blockNumber(), 0);
}

}  // namespace
}  // namespace tera::gui
