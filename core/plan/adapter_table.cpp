#include "core/plan/adapter_table.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include <fmt/format.h>

namespace tera::plan {
namespace {

// Rows [first, first + count) of a weight, and the name of what they are.
struct Target {
  std::string_view module;  // as in target_modules
  std::string place;        // prefix of the adapter's rows
  std::int64_t first = 0;
  std::int64_t count = 0;
};

constexpr std::string_view kEnd = ".weight";

// The projections a weight holds; none for what cannot be adapted.
std::vector<Target> targets_of(const ParamSpec& param) {
  const std::string_view name = param.name;
  if (param.shape.size() < 2 || !name.ends_with(kEnd)) return {};
  const std::string_view whole = name.substr(0, name.size() - kEnd.size());
  std::string_view module = whole;
  if (module.starts_with("layers.")) module.remove_prefix(module.find('.', 7) + 1);
  if (module.starts_with("moe.")) module.remove_prefix(4);
  if (module == "attention.qkv") {
    constexpr std::array<std::string_view, 3> kParts = {"attention.q", "attention.k",
                                                        "attention.v"};
    const std::string_view prefix = whole.substr(0, whole.size() - module.size());
    std::vector<Target> parts;
    std::int64_t first = 0;
    for (std::size_t i = 0; i < kParts.size(); ++i) {
      const std::int64_t rows = param.row_parts[i];
      parts.push_back({kParts[i], fmt::format("{}{}", prefix, kParts[i]), first, rows});
      first += rows;
    }
    return parts;
  }
  return {{module, std::string(whole), 0, param.shape[param.shape.size() - 2]}};
}

// A and B of one target. Where the weight is split along its rows, B is; along its columns, A.
std::array<ParamSpec, 2> adapter_rows(const ParamSpec& weight,
                                      const Target& target,
                                      const spec::LoraConfig& lora) {
  ParamSpec row;
  row.layer = weight.layer;
  row.kind = weight.kind;
  row.always_f32 = true;
  row.adapts = AdaptedRows{
      .weight = weight.name, .first = target.first, .count = target.count, .scale = lora.scale()};
  std::array<ParamSpec, 2> rows = {row, row};
  auto& [a, b] = rows;
  a.name = target.place + ".lora_A.weight";
  a.shape = {lora.rank, weight.shape.back()};
  a.init = ParamInit::kaiming_uniform;
  b.name = target.place + ".lora_B.weight";
  b.shape = {target.count, lora.rank};
  b.init = ParamInit::zeros;
  if (weight.is_expert()) {
    for (ParamSpec& each : rows)
      each.shape.insert(each.shape.begin(), weight.shape.front());
  }
  const int columns = static_cast<int>(weight.shape.size()) - 1;
  for (ParamSplit split : weight.splits) {
    if (split.dim == columns) {
      a.splits.push_back(split);
    } else if (split.dim == columns - 1) {
      // Of stacked matrices the target is one, or it is all of them.
      if (target.count != weight.shape[static_cast<std::size_t>(split.dim)])
        split.parts = {target.count};
      b.splits.push_back(split);
    } else {
      for (ParamSpec& each : rows)
        each.splits.push_back(split);
    }
  }
  for (ParamSpec& each : rows)
    each.row_parts = {each.shape[each.shape.size() - 2]};
  return rows;
}

}  // namespace

ParamTable with_adapters(ParamTable table, const spec::LoraConfig& lora) {
  if (!lora.enabled()) return table;
  const std::vector<std::string>& wanted = lora.target_modules;
  ParamTable adapted;
  for (ParamSpec& param : table) {
    param.trainable = false;
    adapted.push_back(std::move(param));
    const ParamSpec weight = adapted.back();
    for (const Target& target : targets_of(weight)) {
      if (std::find(wanted.begin(), wanted.end(), target.module) == wanted.end()) continue;
      for (ParamSpec& row : adapter_rows(weight, target, lora))
        adapted.push_back(std::move(row));
    }
  }
  return adapted;
}

ParamTable make_param_table(const spec::RunSpec& spec) {
  return with_adapters(make_param_table(spec.model), spec.lora);
}

std::int64_t count_trainable(const spec::RunSpec& spec) {
  if (!spec.lora.enabled()) return count_params(spec.model).total;
  std::int64_t count = 0;
  for (const ParamSpec& param : make_param_table(spec))
    count += param.trainable ? param.num_elements() : 0;
  return count;
}

}  // namespace tera::plan
