#include "gui/widgets/field_text.h"

#include <algorithm>
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

// "training.param_groups.head.lr_multiplier" -> "training.param_groups.head"; empty at the top.
std::string_view structOf(std::string_view path) {
  const std::size_t dot = path.rfind('.');
  return dot == path.npos ? std::string_view() : path.substr(0, dot);
}

}  // namespace

QString fieldLabel(std::string_view name) {
  static const std::map<QString, QString> kWords = {{"coeff", "coefficient"},
                                                    {"cpu", "CPU"},
                                                    {"ema", "EMA"},
                                                    {"ffn", "FFN"},
                                                    {"flops", "FLOPs"},
                                                    {"gco2", "gCO2"},
                                                    {"kv", "KV"},
                                                    {"kwh", "kWh"},
                                                    {"lora", "LoRA"},
                                                    {"lr", "LR"},
                                                    {"moe", "MoE"},
                                                    {"mtp", "MTP"},
                                                    {"mup", "muP"},
                                                    {"nope", "no-pos."},
                                                    {"nesterov", "Nesterov"},
                                                    {"ns", "NS"},
                                                    {"q", "Q"},
                                                    {"qk", "QK"},
                                                    {"rms", "RMS"},
                                                    {"rope", "RoPE"},
                                                    {"rslora", "rsLoRA"},
                                                    {"sgd", "SGD"},
                                                    {"usd", "USD"},
                                                    {"v", "V"},
                                                    {"w", "W"},
                                                    {"wsd", "WSD"},
                                                    {"zero", "ZeRO"}};
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
  const QString name = fieldLabel(info.field.name);
  const std::string_view of = structOf(info.path), outer = structOf(of);
  const std::vector<spec::FieldInfo>& all = spec::all_fields();
  const bool hasTwin = std::any_of(all.begin(), all.end(), [&](const spec::FieldInfo& other) {
    const std::string_view others = structOf(other.path);
    return other.field.name == info.field.name && others != of && !outer.empty() &&
           structOf(others) == outer;
  });
  if (!hasTwin) return name;
  const bool isWord = name.size() > 1 && name[1].isLower();  // not "LR"
  return tr("%1: %2").arg(fieldLabel(of.substr(outer.size() + 1)),
                          isWord ? name[0].toLower() + name.mid(1) : name);
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
