#include "gui/widgets/field_form.h"

#include <QCheckBox>
#include <QComboBox>
#include <QLabel>
#include <QLineEdit>

#include "gui/widgets/card.h"
#include "gui/widgets/section_button.h"
#include "tests/gui/widgets/form_fixture.h"

namespace tera::gui {
namespace {

using test::Form;

TEST(FieldForm, TypingFollowsIntoTheSpec) {
  Form form;
  form.type("model.num_experts", "16");
  EXPECT_EQ(form.document.spec().model.num_experts, 16);
  EXPECT_TRUE(form.document.text().contains("num_experts: 16"));
  EXPECT_EQ(form.document.undoStack()->count(), 1);  // "1" and "16" are one edit
}

TEST(FieldForm, UndoKeysBelongToTheDocument) {
  Form form;
  form.type("model.num_experts", "16");
  QKeyEvent undo(QEvent::ShortcutOverride, Qt::Key_Z, Qt::ControlModifier);
  undo.ignore();
  QApplication::sendEvent(form.box("model.num_experts")->findChild<QLineEdit*>(), &undo);
  EXPECT_FALSE(undo.isAccepted());
  form.document.undoStack()->undo();
  EXPECT_EQ(form.box("model.num_experts")->value(), form.document.spec().model.num_experts);
}

TEST(FieldForm, FollowsTheTextAndStopsWhileItIsBroken) {
  Form form;
  form.document.setText(QString(test::kToy) + "training:\n  num_steps: 5\n");
  form.document.setText("model: [");
  EXPECT_FALSE(form.form->widget()->isEnabled());
  form.document.setText("model:\n  preset: tiny-moe\n  num_layers: 9\n  norm: layer\n");
  EXPECT_TRUE(form.form->widget()->isEnabled());
  EXPECT_EQ(form.box("model.num_layers")->value(), 9);
  EXPECT_EQ(qobject_cast<QComboBox*>(form.form->editor("model.norm"))->currentText(), "layer");
}

QStringList shownMessages(const FieldForm& form) {
  QStringList texts;
  for (const auto* label : form.findChildren<ToneLabel*>()) {
    if (label->isVisibleTo(&form) && !label->text().isEmpty()) texts << label->text();
  }
  return texts;
}

// A file that never could be read: no default of ours stands for a value of the author's.
TEST(FieldForm, IsEmptyAndDisabledUntilTheTextCanBeRead) {
  Document document;
  document.reset("model: {preset: tiny-moe, num_expert: 4}\n");
  FieldForm form(document, modelSections());  // made after the text was read
  form.show();
  EXPECT_FALSE(form.widget()->isEnabled());
  const auto* box = qobject_cast<QuantityBox*>(form.editor("model.num_layers"));
  const auto* choice = qobject_cast<QComboBox*>(form.editor("model.norm"));
  const auto* check = qobject_cast<QCheckBox*>(form.editor("model.tie_embeddings"));
  EXPECT_EQ(box->text(), "n/a");
  EXPECT_EQ(choice->currentText(), "");
  EXPECT_EQ(check->checkState(), Qt::PartiallyChecked);
  EXPECT_FALSE(box->isEnabled());
  document.setText("model: {preset: tiny-moe, num_experts: 4}\n");
  EXPECT_TRUE(form.widget()->isEnabled());
  EXPECT_EQ(box->value(), document.spec().model.num_layers);
  EXPECT_EQ(box->text(), QString::number(document.spec().model.num_layers));
  EXPECT_FALSE(choice->currentText().isEmpty());
  EXPECT_NE(check->checkState(), Qt::PartiallyChecked);
  EXPECT_FALSE(check->isTristate());
  EXPECT_EQ(document.undoStack()->count(), 1) << "showing values is no edit";
}

TEST(FieldForm, AnotherFileThatIsBrokenEmptiesAFormThatWasAlive) {
  Form form;
  EXPECT_EQ(form.box("model.num_experts")->value(), form.document.spec().model.num_experts);
  form.document.reset("][");
  EXPECT_EQ(form.box("model.num_experts")->text(), "n/a");
  EXPECT_FALSE(form.form->widget()->isEnabled());
}

TEST(FieldForm, ABreakWhileTypingKeepsTheLastGoodValues) {
  Form form;
  const QString before = form.box("model.num_experts")->text();
  form.document.setText("model: [");
  EXPECT_FALSE(form.form->widget()->isEnabled());
  EXPECT_EQ(form.box("model.num_experts")->text(), before);
}

const SectionButton* sectionOf(const FieldForm& form, const QString& title) {
  for (const auto* button : form.findChildren<SectionButton*>())
    if (button->text() == title) return button;
  return nullptr;
}

TEST(FieldForm, FindingsStandUnderTheirFieldWithAHint) {
  Form form;
  ASSERT_TRUE(form.document.setField("model.router_top_k", "60"));
  const QStringList messages = shownMessages(*form.form);
  ASSERT_EQ(messages.size(), 1) << messages.join("; ").toStdString();
  EXPECT_TRUE(messages[0].startsWith("■ ")) << ss(messages[0]);
  EXPECT_TRUE(messages[0].contains(" — ")) << "with its hint: " << ss(messages[0]);
  form.document.undoStack()->undo();
  EXPECT_TRUE(shownMessages(*form.form).isEmpty());
}

TEST(FieldForm, AnErrorOpensTheSectionOfItsField) {
  Form form;
  ASSERT_NE(sectionOf(*form.form, "Attention"), nullptr);
  EXPECT_FALSE(sectionOf(*form.form, "Attention")->isChecked());
  ASSERT_TRUE(form.document.setField("model.attention", "latent"));  // without its ranks
  ASSERT_TRUE(has_errors(form.document.diagnostics()));
  EXPECT_TRUE(sectionOf(*form.form, "Attention")->isChecked());
  EXPECT_FALSE(shownMessages(*form.form).isEmpty());
}

TEST(FieldForm, AFieldInAClosedSectionOpensWhenItIsAskedFor) {
  Form form;
  QWidget* editor = form.form->editor("model.rope_theta");
  EXPECT_FALSE(editor->isVisible());
  EXPECT_TRUE(form.form->focusField("model.rope_theta"));
  EXPECT_TRUE(editor->isVisible());
  EXPECT_TRUE(editor->hasFocus());
  EXPECT_TRUE(form.form->viewport()->rect().contains(
      editor->mapTo(form.form->viewport(), editor->rect().center())))
      << "scrolled into view";
  EXPECT_FALSE(form.form->focusField("training.num_steps")) << "not in this form";
}

// All sections open, from the first editor: Tab never goes up.
TEST(FieldForm, TabGoesDownTheForm) {
  Document document;
  document.reset(test::kToy);
  for (const auto& sections : {modelSections(), trainingSections(), layoutSections()}) {
    FieldForm form(document, sections);
    form.show();
    for (auto* section : form.findChildren<SectionButton*>())
      section->setChecked(true);
    ASSERT_TRUE(QTest::qWaitForWindowActive(&form));
    ASSERT_TRUE(form.focusField(sections.front().paths.front()));
    int last = -1, stops = 0;
    while (true) {
      const QWidget* at = QApplication::focusWidget();
      const int y = at->mapTo(form.widget(), QPoint(0, 0)).y();
      if (y <= last) break;  // round to the first again
      last = y;
      ++stops;
      QTest::keyClick(QApplication::focusWidget(), Qt::Key_Tab);
    }
    const auto editors = form.findChildren<QWidget*>();
    const auto takesTab = std::count_if(editors.begin(), editors.end(), [](const QWidget* widget) {
      return (widget->focusPolicy() & Qt::TabFocus) != 0 && widget->focusProxy() == nullptr &&
             widget->isVisible();
    });
    EXPECT_EQ(stops, takesTab - 1) << "all but the title of the first section";
  }
}

TEST(FieldForm, EveryEditorHasANameAHelpAndALabelThatLeadsToIt) {
  Form form;
  for (const spec::FieldInfo& info : spec::all_fields()) {
    const QWidget* editor = form.form->editor(info.path);
    if (editor == nullptr) continue;
    EXPECT_FALSE(editor->accessibleName().isEmpty()) << info.path;
    EXPECT_TRUE(editor->accessibleDescription().contains(qs(info.field.help))) << info.path;
    EXPECT_TRUE(editor->toolTip().contains(qs(info.path))) << info.path;
    EXPECT_TRUE(editor->whatsThis().contains(qs(info.path))) << info.path;
    if (!info.field.unit.empty()) {
      EXPECT_TRUE(editor->accessibleDescription().contains(qs(info.field.unit))) << info.path;
    }
  }
  int buddies = 0;
  for (const auto* label : form.form->findChildren<QLabel*>())
    buddies += label->buddy() != nullptr;
  EXPECT_GE(buddies, 20);
}

TEST(FieldForm, ARefusedTextSaysWhyAndLeavesTheSpec) {
  Document document;
  document.reset(test::kToy);
  FieldForm form(document, trainingSections());
  form.show();
  ASSERT_TRUE(QTest::qWaitForWindowExposed(&form));
  auto* name = qobject_cast<QLineEdit*>(form.editor("name"));
  ASSERT_NE(name, nullptr);
  name->setFocus();
  name->selectAll();
  QTest::keyClicks(name, "a/b");
  EXPECT_EQ(document.spec().name, "a/b");
  const QStringList messages = shownMessages(form);
  ASSERT_FALSE(messages.isEmpty()) << "validation says what a name may be";
  EXPECT_TRUE(messages[0].startsWith("■ ")) << ss(messages[0]);
}

}  // namespace
}  // namespace tera::gui
