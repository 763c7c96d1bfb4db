// The form of the model over a document of its own, on screen.
#pragma once
#include <memory>

#include "gui/document.h"
#include "gui/pages/design_sections.h"
#include "gui/widgets/field_form.h"
#include "gui/widgets/quantity_box.h"
#include "tests/gui/gui_test_support.h"

namespace tera::gui::test {

struct Form {
  Form() {
    document.reset(kToy);
    form = std::make_unique<FieldForm>(document, modelSections());
    form->resize(360, 700);
    form->show();
    EXPECT_TRUE(QTest::qWaitForWindowExposed(form.get()));
  }
  QuantityBox* box(const char* path) { return qobject_cast<QuantityBox*>(form->editor(path)); }
  void type(const char* path, const QString& text) {
    QuantityBox* editor = box(path);
    editor->setFocus();
    editor->selectAll();
    QTest::keyClicks(editor, text);
  }
  Document document;
  std::unique_ptr<FieldForm> form;
};

}  // namespace tera::gui::test
