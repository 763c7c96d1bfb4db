#include "gui/widgets/quantity_box.h"

#include <algorithm>
#include <cmath>

#include <QKeyEvent>
#include <QLineEdit>
#include <QWheelEvent>

#include "core/base/units.h"
#include "gui/text.h"

namespace tera::gui {
namespace {

constexpr double kGrouped = 10'000;  // integers from here on are shown with separators

constexpr int kFrame = 36;  // pixels: arrows and margins

// "steps" -> "step"; units that are no English plural stay as they are.
QString singular(const QString& unit) {
  const bool plural =
      unit.size() > 2 && unit.endsWith(QLatin1Char('s')) && !unit.contains(QLatin1Char('/'));
  return plural ? unit.chopped(1) : unit;
}

// Separators of thousands and the unit are for reading; what is left is for parse_quantity.
QString plainText(QString text, const QString& unit) {
  text = text.trimmed();
  for (const QString& shown : {unit, singular(unit)}) {
    if (!shown.isEmpty() && text.endsWith(QLatin1Char(' ') + shown)) text.chop(shown.size() + 1);
  }
  return text.remove(QLatin1Char(',')).trimmed();
}

bool isShownUnit(std::string_view unit) {
  return !unit.empty() && unit.size() <= 10;
}

// Of quantities that are always large: "23.4993 GiB", "989.4 TFLOP/s". parse_quantity reads it.
QString withPrefix(double value, const QString& unit) {
  static constexpr std::string_view kBinary[] = {"", "Ki", "Mi", "Gi", "Ti", "Pi"};
  static constexpr std::string_view kDecimal[] = {"", "k", "M", "G", "T", "P"};
  const bool isMemory = unit == QLatin1String("B");
  const auto& prefixes = isMemory ? kBinary : kDecimal;
  std::size_t prefix = 0;
  for (const double base = isMemory ? 1024 : 1000;
       std::abs(value) >= base && prefix + 1 < std::size(prefixes); ++prefix)
    value /= base;
  const QString symbol = unit == QLatin1String("flop/s") ? QStringLiteral("FLOP/s") : unit;
  return QString::number(value, 'g', 6) + QLatin1Char(' ') + qs(prefixes[prefix]) + symbol;
}

}  // namespace

QuantityBox::QuantityBox(const spec::FieldInfo& info, QWidget* parent)
    : QAbstractSpinBox(parent), m_info(info) {
  setFocusPolicy(Qt::StrongFocus);
  setKeyboardTracking(true);
  setSizePolicy(QSizePolicy::Expanding, QSizePolicy::Fixed);
  connect(lineEdit(), &QLineEdit::textEdited, this, &QuantityBox::readText);
}

QSize QuantityBox::sizeHint() const {
  const QSize hint = QAbstractSpinBox::sizeHint();
  return {fontMetrics().horizontalAdvance(QStringLiteral("100,000 gCO2e/kWh")) + kFrame,
          hint.height()};
}

// Room for a usual number of the field and its unit.
QSize QuantityBox::minimumSizeHint() const {
  QString usual = QStringLiteral("100,000");
  if (isShownUnit(m_info.field.unit)) usual += QLatin1Char(' ') + qs(m_info.field.unit);
  return {fontMetrics().horizontalAdvance(usual) + kFrame, sizeHint().height()};
}

QString QuantityBox::textOf(double value) const {
  const QString unit = qs(m_info.field.unit);
  if (unit == QLatin1String("B") || unit == QLatin1String("B/s") || unit == QLatin1String("flop/s"))
    return withPrefix(value, unit);
  QString text;
  if (m_info.kind == spec::FieldInfo::Kind::integer) {
    text = std::abs(value) >= kGrouped ? qs(format_integer(static_cast<std::int64_t>(value)))
                                       : QString::number(static_cast<qint64>(value));
  } else {
    text = QString::number(value, 'g', 9);
  }
  if (!isShownUnit(m_info.field.unit)) return text;
  return text + QLatin1Char(' ') + (value == 1 ? singular(unit) : unit);
}

QString QuantityBox::scalar() const {
  return m_info.kind == spec::FieldInfo::Kind::integer
             ? QString::number(static_cast<qint64>(m_value))
             : QString::number(m_value, 'g', QLocale::FloatingPointShortest);
}

void QuantityBox::setValue(double value) {
  setProblem({});
  const Result<double> shown = parse_quantity(ss(plainText(text(), qs(m_info.field.unit))));
  const bool same = shown && *shown == value;
  m_value = value;
  if (!same || !hasFocus()) lineEdit()->setText(textOf(value));
  update();
}

void QuantityBox::setUnknown() {
  setProblem({});
  lineEdit()->setText(tr("n/a"));
}

void QuantityBox::readText(const QString& text) {
  if (text == textOf(m_value)) {  // shown with fewer digits than the value may have
    setProblem({});
    return;
  }
  const Result<double> parsed = parse_quantity(ss(plainText(text, qs(m_info.field.unit))));
  if (!parsed) {
    setProblem(qs(parsed.error().message));
    return;
  }
  const bool whole = *parsed == std::floor(*parsed);
  if (m_info.kind == spec::FieldInfo::Kind::integer && !whole) {
    setProblem(tr("%1 is not a whole number").arg(*parsed));
    return;
  }
  if (*parsed < m_info.field.min || *parsed > m_info.field.max) {
    setProblem(tr("%1 is outside %2 ... %3")
                   .arg(textOf(*parsed), textOf(m_info.field.min), textOf(m_info.field.max)));
    return;
  }
  accept(*parsed);
}

void QuantityBox::accept(double value) {
  setProblem({});
  if (value == m_value) return;
  m_value = value;
  emit edited();
}

void QuantityBox::setProblem(const QString& problem) {
  if (problem == m_problem) return;
  m_problem = problem;
  emit problemChanged();
}

void QuantityBox::stepBy(int steps) {
  const double step = m_info.field.step;
  // Steps land on multiples: 7168 - 128, but 7000 + 128 becomes 7040, the next one.
  double target = m_value + steps * step;
  const double onGrid = std::round(target / step) * step;
  if (m_info.kind == spec::FieldInfo::Kind::integer && step > 1) {
    target = steps > 0 ? std::floor(target / step) * step : std::ceil(target / step) * step;
  } else if (std::abs(onGrid - target) < step * 1e-6) {
    target = onGrid;  // 0.1 + 0.2 is 0.3 here
  }
  target = std::clamp(target, m_info.field.min, m_info.field.max);
  // As short as the step itself, so that no rounding noise reaches the file.
  if (m_info.kind == spec::FieldInfo::Kind::number)
    target = QString::number(target, 'g', 9).toDouble();
  lineEdit()->setText(textOf(target));
  lineEdit()->selectAll();
  accept(target);
}

QAbstractSpinBox::StepEnabled QuantityBox::stepEnabled() const {
  StepEnabled enabled = StepNone;
  if (isReadOnly()) return enabled;
  if (m_value < m_info.field.max) enabled |= StepUpEnabled;
  if (m_value > m_info.field.min) enabled |= StepDownEnabled;
  return enabled;
}

QValidator::State QuantityBox::validate(QString&, int&) const {
  return QValidator::Acceptable;  // anything may be typed; readText says what is wrong with it
}

void QuantityBox::keyPressEvent(QKeyEvent* event) {
  if (event->key() == Qt::Key_PageUp || event->key() == Qt::Key_PageDown) {
    double target = event->key() == Qt::Key_PageUp ? m_value * 2 : m_value / 2;
    if (m_info.kind == spec::FieldInfo::Kind::integer) target = std::floor(target);
    target = std::clamp(target, m_info.field.min, m_info.field.max);
    lineEdit()->setText(textOf(target));
    accept(target);
    return;
  }
  if (event->key() == Qt::Key_Return || event->key() == Qt::Key_Enter) {
    readText(text());
    if (m_problem.isEmpty()) lineEdit()->setText(textOf(m_value));
    lineEdit()->selectAll();
    return;
  }
  QAbstractSpinBox::keyPressEvent(event);
}

void QuantityBox::wheelEvent(QWheelEvent* event) {
  if (!hasFocus()) {
    event->ignore();  // scrolls the form instead
    return;
  }
  QAbstractSpinBox::wheelEvent(event);
}

void QuantityBox::focusOutEvent(QFocusEvent* event) {
  setProblem({});
  lineEdit()->setText(textOf(m_value));
  QAbstractSpinBox::focusOutEvent(event);
}

}  // namespace tera::gui
