#include "gui/widgets/field_text.h"

#include <cmath>
#include <map>

#include <QCoreApplication>
#include <QStringList>

#include "core/base/units.h"
#include "gui/text.h"

namespace tera::gui {
namespace {

QString tr(const char* text) {
  return QCoreApplication::translate("Field", text);
}

}  // namespace

QString fieldLabel(std::string_view name) {
  static const std::map<QString, QString> kWords = {{"moe", "MoE"},     {"ffn", "FFN"},
                                                    {"qk", "QK"},       {"q", "Q"},
                                                    {"kv", "KV"},       {"v", "V"},
                                                    {"lr", "LR"},       {"lora", "LoRA"},
                                                    {"std", "std"},     {"coeff", "coefficient"},
                                                    {"dim", "dim"},     {"norm", "norm"},
                                                    {"nope", "no-pos."}};
  QStringList words = qs(name).split(QLatin1Char('_'));
  if (words.size() > 1 && words.first() == QLatin1String("num")) words.removeFirst();
  for (QString& word : words) {
    const auto known = kWords.find(word);
    if (known != kWords.end()) word = known->second;
  }
  words.first()[0] = words.first()[0].toUpper();
  return words.join(QLatin1Char(' '));
}

QString fieldLabel(const spec::FieldInfo& info) {
  const QStringList path = qs(info.path).split(QLatin1Char('.'));
  const QString name = fieldLabel(info.field.name);
  if (path.size() < 4) return name;
  return tr("%1: %2").arg(fieldLabel(path[path.size() - 2].toStdString()), name);
}

QString rangeText(const spec::FieldInfo& info) {
  const auto number = [](double value) {
    return std::abs(value) < 1e6 ? QString::number(value) : qs(format_count(value));
  };
  if (info.kind != spec::FieldInfo::Kind::integer && info.kind != spec::FieldInfo::Kind::number)
    return {};
  if (std::isfinite(info.field.max))
    return tr("Range %1 to %2.").arg(number(info.field.min), number(info.field.max));
  if (std::isfinite(info.field.min)) return tr("At least %1.").arg(number(info.field.min));
  return {};
}

}  // namespace tera::gui
