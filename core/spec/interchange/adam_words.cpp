#include "core/spec/interchange/adam_words.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/spec/scalars.h"

namespace tera::spec {

void read_adam_betas(Importer& in, std::string_view key) {
  const auto list = in.list(key);
  if (!list) return;
  const nlohmann::json betas = nlohmann::json::parse(*list, nullptr, false);
  if (!betas.is_array() || betas.size() != 2 || !betas[0].is_number() || !betas[1].is_number()) {
    return in.error(
        key, fmt::format("got {}, expected two numbers such as [0.9, 0.95]", list->substr(0, 60)));
  }
  TrainingConfig& t = in.spec().training;
  const bool lion = t.optimizer == OptimizerKind::lion;
  (lion ? t.lion_beta1 : t.adam_beta1) = betas[0].get<double>();
  (lion ? t.lion_beta2 : t.adam_beta2) = betas[1].get<double>();
}

void write_adam_betas(const RunSpec& spec, std::string key, SettingList& out) {
  const TrainingConfig& t = spec.training;
  const bool lion = t.optimizer == OptimizerKind::lion;
  if (!lion && t.optimizer != OptimizerKind::adamw) return;
  Setting betas = text_setting(
      std::move(key), fmt::format("[{}, {}]", scalar_text(lion ? t.lion_beta1 : t.adam_beta1),
                                  scalar_text(lion ? t.lion_beta2 : t.adam_beta2)));
  betas.kind = Setting::Kind::list;
  out.push_back(std::move(betas));
}

}  // namespace tera::spec
