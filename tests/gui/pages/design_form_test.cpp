// Every field of the three forms, edited as a person does.
#include <cmath>

#include <QCheckBox>
#include <QComboBox>
#include <QLineEdit>
#include <QTabWidget>

#include "gui/document.h"
#include "gui/pages/design_sections.h"
#include "gui/widgets/quantity_box.h"
#include "tests/gui/gui_test_support.h"

namespace tera::gui {
namespace {

constexpr const char* kText =
    "# of mine\nname: toy  # short\nmodel:\n  preset: tiny-moe\n  # how many\n  num_experts: 4\n"
    "cluster:\n  preset: this-machine\n";

struct Forms {
  explicit Forms(const QString& text) {
    document.reset(text);
    for (const auto& sections : {modelSections(), trainingSections(), layoutSections()})
      tabs.addTab(new FieldForm(document, sections), "form");
    tabs.resize(400, 700);
    tabs.show();
    EXPECT_TRUE(QTest::qWaitForWindowActive(&tabs));
  }
  // The form that has the field, in front.
  FieldForm* formOf(const std::string& path) {
    for (int i = 0; i < tabs.count(); ++i) {
      auto* form = qobject_cast<FieldForm*>(tabs.widget(i));
      if (form->editor(path) == nullptr) continue;
      tabs.setCurrentIndex(i);
      return form;
    }
    return nullptr;
  }
  Document document;
  QTabWidget tabs;
};

// A value that the field takes and does not have: one step up, or down from the top.
QString otherNumber(const spec::FieldInfo& info, double now) {
  double wanted = now + info.field.step;
  if (wanted > info.field.max) wanted = now - info.field.step;
  if (wanted < info.field.min) wanted = (info.field.min + info.field.max) / 2;
  return QString::number(wanted, 'g', 15);
}

// Changes the field by mouse or keyboard; what its value should be then.
std::string edit(QWidget* editor, const spec::FieldInfo& info, const std::string& now) {
  if (auto* box = qobject_cast<QCheckBox*>(editor)) {
    box->click();
    return now == "true" ? "false" : "true";
  }
  if (auto* box = qobject_cast<QComboBox*>(editor)) {
    const int index = box->currentIndex();
    QTest::keyClick(box, index + 1 < box->count() ? Qt::Key_Down : Qt::Key_Up);
    return ss(box->currentText());
  }
  QLineEdit* line = qobject_cast<QLineEdit*>(editor);
  if (line == nullptr) line = editor->findChild<QLineEdit*>();
  const QString text = info.kind == spec::FieldInfo::Kind::text
                           ? QString("other-one")
                           : otherNumber(info, qobject_cast<QuantityBox*>(editor)->value());
  editor->setFocus();
  line->selectAll();
  QTest::keyClicks(line, text);
  return ss(text);
}

bool sameValue(const spec::FieldInfo& info, const std::string& a, const std::string& b) {
  if (info.kind != spec::FieldInfo::Kind::integer && info.kind != spec::FieldInfo::Kind::number)
    return a == b;
  return std::stod(a) == std::stod(b);
}

std::vector<spec::FieldInfo> editable() {
  std::vector<spec::FieldInfo> fields;
  for (const spec::FieldInfo& info : spec::all_fields())
    if (info.kind != spec::FieldInfo::Kind::list) fields.push_back(info);
  // A choice of one has nothing to be changed to.
  std::erase_if(fields, [](const spec::FieldInfo& info) {
    return info.kind == spec::FieldInfo::Kind::choice && info.choices.size() == 1;
  });
  return fields;
}

TEST(DesignForm, EveryFieldEditsTheSpecAndUndoRestoresTheTextByteForByte) {
  Forms forms(kText);
  ASSERT_GT(editable().size(), 90U);
  for (const spec::FieldInfo& info : editable()) {
    SCOPED_TRACE(info.path);
    forms.document.reset(kText);
    FieldForm* form = forms.formOf(info.path);
    ASSERT_NE(form, nullptr);
    const std::string before = spec::get_field(forms.document.spec(), info.path).value();
    form->focusField(info.path);
    const std::string wanted = edit(form->editor(info.path), info, before);
    ASSERT_FALSE(sameValue(info, before, wanted));
    ASSERT_TRUE(forms.document.isGood()) << ss(forms.document.text());
    const std::string after = spec::get_field(forms.document.spec(), info.path).value();
    EXPECT_TRUE(sameValue(info, after, wanted)) << after << " for " << wanted;
    const QString edited = forms.document.text();
    EXPECT_TRUE(edited.startsWith("# of mine\n"));
    EXPECT_TRUE(edited.contains("# short"));
    EXPECT_TRUE(edited.contains("  # how many\n"));
    QUndoStack& stack = *forms.document.undoStack();
    EXPECT_EQ(stack.count(), 1) << "one edit, one step back";
    while (stack.canUndo())
      stack.undo();
    EXPECT_EQ(forms.document.text(), QString(kText));
    while (stack.canRedo())
      stack.redo();
    EXPECT_EQ(forms.document.text(), edited);
  }
}

// With every field in the text, an edit touches its own line and no other.
TEST(DesignForm, EveryFieldChangesItsOwnLineOnly) {
  Document full;
  full.reset(kText);
  const QString text = qs(spec::to_yaml(full.spec(), true));
  Forms forms(text);
  for (const spec::FieldInfo& info : editable()) {
    SCOPED_TRACE(info.path);
    forms.document.reset(text);
    ASSERT_TRUE(forms.document.isGood());
    FieldForm* form = forms.formOf(info.path);
    ASSERT_NE(form, nullptr);
    form->focusField(info.path);
    edit(form->editor(info.path), info, spec::get_field(forms.document.spec(), info.path).value());
    const QStringList before = text.split('\n'), after = forms.document.text().split('\n');
    ASSERT_EQ(before.size(), after.size());
    int changed = 0;
    for (qsizetype i = 0; i < before.size(); ++i) {
      if (before[i] == after[i]) continue;
      ++changed;
      const QString key = qs(info.path).section('.', -1);
      EXPECT_TRUE(after[i].trimmed().startsWith(key + ":")) << ss(after[i]);
      EXPECT_EQ(before[i].contains('#'), after[i].contains('#')) << ss(after[i]);
    }
    EXPECT_EQ(changed, 1);
  }
}

TEST(DesignForm, EveryEditorShowsWhatTheTextSays) {
  Forms forms(kText);
  for (const spec::FieldInfo& info : editable()) {
    SCOPED_TRACE(info.path);
    const std::string value = spec::get_field(forms.document.spec(), info.path).value();
    const FieldForm* form = forms.formOf(info.path);
    ASSERT_NE(form, nullptr);
    const QWidget* editor = form->editor(info.path);
    if (const auto* check = qobject_cast<const QCheckBox*>(editor)) {
      EXPECT_EQ(check->isChecked(), value == "true");
    } else if (const auto* combo = qobject_cast<const QComboBox*>(editor)) {
      EXPECT_EQ(ss(combo->currentText()), value);
      EXPECT_EQ(combo->count(), static_cast<int>(info.choices.size()));
    } else if (const auto* line = qobject_cast<const QLineEdit*>(editor)) {
      EXPECT_EQ(ss(line->text()), value);
    } else {
      EXPECT_EQ(qobject_cast<const QuantityBox*>(editor)->value(), std::stod(value));
    }
  }
}

TEST(FieldForm, SectionsTogetherShowEveryFieldOnce) {
  Document document;
  document.reset(kText);
  const FieldForm model(document, modelSections()), training(document, trainingSections()),
      layout(document, layoutSections());
  for (const spec::FieldInfo& info : spec::all_fields()) {
    const int shown = (model.editor(info.path) != nullptr) +
                      (training.editor(info.path) != nullptr) +
                      (layout.editor(info.path) != nullptr);
    EXPECT_EQ(shown, info.kind == spec::FieldInfo::Kind::list ? 0 : 1) << info.path;
  }
}

}  // namespace
}  // namespace tera::gui
