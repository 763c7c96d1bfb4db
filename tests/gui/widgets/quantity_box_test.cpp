#include "gui/widgets/quantity_box.h"

#include <QLineEdit>
#include <QSignalSpy>
#include <QWheelEvent>

#include "tests/gui/widgets/form_fixture.h"

namespace tera::gui {
namespace {

using test::Form;

TEST(QuantityBox, AcceptsWhatPeopleWrite) {
  Form form;
  form.type("model.hidden_size", "1k");
  EXPECT_EQ(form.document.spec().model.hidden_size, 1000);
  form.type("model.hidden_size", "7*128");
  EXPECT_EQ(form.document.spec().model.hidden_size, 896);
  form.type("model.vocab_size", "131,072");
  EXPECT_EQ(form.document.spec().model.vocab_size, 131072);
}

TEST(QuantityBox, KeepsTheLastValueWhileTheTextIsWrong) {
  Form form;
  const int before = form.document.spec().model.num_layers;
  form.type("model.num_layers", "abc");
  EXPECT_EQ(form.document.spec().model.num_layers, before);
  EXPECT_FALSE(form.box("model.num_layers")->problem().isEmpty());
  form.type("model.num_layers", "2.5");
  EXPECT_TRUE(form.box("model.num_layers")->problem().contains("whole"));
  form.box("model.hidden_size")->setFocus();  // leaving the field shows the value that holds
  EXPECT_EQ(form.document.spec().model.num_layers, 2);  // the "2" of "2.5" was a value
  EXPECT_EQ(form.box("model.num_layers")->text(), "2");
}

TEST(QuantityBox, StepsByUsefulAmounts) {
  Form form;
  form.type("model.hidden_size", "300");
  QuantityBox* box = form.box("model.hidden_size");
  QTest::keyClick(box, Qt::Key_Up);
  EXPECT_EQ(form.document.spec().model.hidden_size, 384);  // the next multiple of 128
  QTest::keyClick(box, Qt::Key_Down);
  EXPECT_EQ(form.document.spec().model.hidden_size, 256);
  QTest::keyClick(box, Qt::Key_PageUp);
  EXPECT_EQ(form.document.spec().model.hidden_size, 512);
}

TEST(QuantityBox, WheelTurnsOnlyTheFocusedField) {
  Form form;
  form.box("model.hidden_size")->setFocus();
  QuantityBox* other = form.box("model.num_layers");
  const double before = other->value();
  const auto turn = [](QWidget* widget) {
    QWheelEvent wheel(QPointF(5, 5), widget->mapToGlobal(QPointF(5, 5)), {}, {0, 120}, Qt::NoButton,
                      Qt::NoModifier, Qt::NoScrollPhase, false);
    QApplication::sendEvent(widget, &wheel);
  };
  turn(other);
  EXPECT_EQ(other->value(), before);
  other->setFocus();
  turn(other);
  EXPECT_EQ(other->value(), before + 1);
}

spec::FieldInfo integer(double min, double max, double step) {
  return {.path = "x",
          .field = {.name = "x", .min = min, .max = max, .step = step},
          .kind = spec::FieldInfo::Kind::integer,
          .choices = {}};
}

spec::FieldInfo number(double min, double max, double step, std::string_view unit = {}) {
  return {.path = "x",
          .field = {.name = "x", .unit = unit, .min = min, .max = max, .step = step},
          .kind = spec::FieldInfo::Kind::number,
          .choices = {}};
}

void type(QuantityBox& box, const QString& text) {
  box.setFocus();
  box.selectAll();
  QTest::keyClicks(&box, text);
}

TEST(QuantityBox, StepsStopAtTheRange) {
  QuantityBox box(integer(2, 10, 4));
  box.setValue(9);
  box.stepBy(1);
  EXPECT_EQ(box.value(), 10);
  box.stepBy(-5);
  EXPECT_EQ(box.value(), 2);
  QTest::keyClick(&box, Qt::Key_PageDown);
  EXPECT_EQ(box.value(), 2);
}

TEST(QuantityBox, StepsOfNumbersLeaveNoRoundingNoise) {
  QuantityBox box(number(0, 1, 0.1));
  box.setValue(0.1);
  box.stepBy(1);
  box.stepBy(1);
  EXPECT_EQ(box.scalar(), "0.3");  // 0.1 + 0.2 is 0.30000000000000004
}

TEST(QuantityBox, SaysWhyATextIsNotTaken) {
  QuantityBox box(integer(1, 64, 1));
  box.setValue(8);
  box.show();
  ASSERT_TRUE(QTest::qWaitForWindowActive(&box));
  const QSignalSpy edited(&box, &QuantityBox::edited);
  const QSignalSpy problems(&box, &QuantityBox::problemChanged);
  type(box, "99");
  EXPECT_EQ(box.value(), 9) << "the 9 on the way was in range";
  EXPECT_TRUE(box.problem().contains("99 is outside 1 ... 64")) << ss(box.problem());
  EXPECT_EQ(edited.count(), 1);
  EXPECT_EQ(problems.count(), 1);
  box.setValue(8);  // from elsewhere: undo, the YAML pane
  EXPECT_TRUE(box.problem().isEmpty());
}

TEST(QuantityBox, ATypedTextThatAlreadyMeansTheValueIsLeftAlone) {
  QuantityBox box(integer(0, 1e9, 1));
  box.show();
  ASSERT_TRUE(QTest::qWaitForWindowActive(&box));
  type(box, "7k");
  box.setValue(7000);  // the document says what was typed
  EXPECT_EQ(box.text(), "7k");
  QTest::keyClick(&box, Qt::Key_Return);
  EXPECT_EQ(box.text(), "7000");
}

TEST(QuantityBox, LargeNumbersHaveSeparatorsAndUnits) {
  QuantityBox box(integer(0, 1e9, 1));
  box.setValue(131072);
  EXPECT_EQ(box.text(), "131,072");
  QuantityBox power(number(0, 1e9, 1, "W"));
  power.setValue(700.5);
  EXPECT_EQ(power.text(), "700.5 W");
  EXPECT_EQ(power.scalar(), "700.5");
}

TEST(QuantityBox, BytesAndRatesHaveAPrefix) {
  QuantityBox memory(number(0, 1e15, 1, "B"));
  memory.setValue(80.0 * (1 << 30));
  EXPECT_EQ(memory.text(), "80 GiB");
  memory.setValue(96);
  EXPECT_EQ(memory.text(), "96 B");
  QuantityBox link(number(0, 1e15, 1, "B/s"));
  link.setValue(3.35e12);
  EXPECT_EQ(link.text(), "3.35 TB/s");
  QuantityBox peak(number(0, 1e18, 1, "flop/s"));
  peak.setValue(989.4e12);
  EXPECT_EQ(peak.text(), "989.4 TFLOP/s");
  peak.show();
  ASSERT_TRUE(QTest::qWaitForWindowActive(&peak));
  type(peak, "2 PFLOP/s");
  EXPECT_EQ(peak.value(), 2e15);
  type(memory, "96 B");
  EXPECT_EQ(memory.value(), 96) << "bytes here, not billions";
}

TEST(QuantityBox, OneOfAUnitIsSingular) {
  QuantityBox steps(number(0, 1e9, 1, "steps"));
  steps.setValue(1);
  EXPECT_EQ(steps.text(), "1 step");
  steps.show();
  ASSERT_TRUE(QTest::qWaitForWindowActive(&steps));
  type(steps, "12 step");
  EXPECT_EQ(steps.value(), 12);
  QuantityBox rate(number(0, 1e9, 1, "s"));
  rate.setValue(1);
  EXPECT_EQ(rate.text(), "1 s");
}

// Shown with nine digits, a number must not lose the others by Enter or by leaving the field.
TEST(QuantityBox, MoreDigitsThanAreShownSurviveEnter) {
  QuantityBox box(number(0, 1, 0.1));
  box.show();
  ASSERT_TRUE(QTest::qWaitForWindowActive(&box));
  box.setValue(0.12345678901234);
  const QSignalSpy edited(&box, &QuantityBox::edited);
  box.setFocus();
  QTest::keyClick(&box, Qt::Key_Return);
  EXPECT_EQ(edited.count(), 0);
  EXPECT_EQ(box.value(), 0.12345678901234);
  EXPECT_EQ(box.scalar(), "0.12345678901234");
}

TEST(QuantityBox, UnknownIsNotZero) {
  QuantityBox box(integer(0, 10, 1));
  box.setUnknown();
  EXPECT_EQ(box.text(), "n/a");
  box.setValue(0);
  EXPECT_EQ(box.text(), "0");
}

TEST(QuantityBox, ArrowsAreOffAtTheEndsOfTheRange) {
  QuantityBox box(integer(1, 2, 1));
  box.setValue(2);
  QTest::keyClick(&box, Qt::Key_Up);
  EXPECT_EQ(box.value(), 2);
  QTest::keyClick(&box, Qt::Key_Down);
  EXPECT_EQ(box.value(), 1);
}

}  // namespace
}  // namespace tera::gui
