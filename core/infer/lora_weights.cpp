#include "core/infer/lora_weights.h"

#include <utility>

#include <fmt/format.h>

#include "core/plan/adapter_table.h"

namespace tera::infer {
namespace {

// "layers.3.moe.experts.in.lora_A.weight" -> "experts.in"
std::string module_of(const plan::ParamSpec& param) {
  std::string name = param.name.substr(0, param.name.find(".lora_A.weight"));
  if (name.starts_with("layers.")) name.erase(0, name.find('.', 7) + 1);
  if (name.starts_with("moe.")) name.erase(0, 4);
  return name;
}

}  // namespace

Result<std::vector<LoraPair>> read_adapters(const checkpoint::Reader& reader,
                                            const spec::RunSpec& spec,
                                            Backend& backend,
                                            checkpoint::WeightSet weights) {
  if (!checkpoint::base_of(reader)) {
    return fail(ErrorCode::invalid_input,
                fmt::format("{} holds a whole model, no adapters", reader.path().string()),
                "name a run that was trained with a lora section");
  }
  TERA_TRY_VOID(checkpoint::stored_weights(reader, weights));
  const char* role = weights == checkpoint::WeightSet::ema ? "ema" : "weight";
  const auto read = [&](const plan::ParamSpec& param) -> Result<Tensor> {
    Tensor value = Tensor::zeros(backend, param.shape, DType::f32, MemoryKind::workspace);
    TERA_TRY_VOID(
        reader.read({.name = param.name, .role = role, .dtype = DType::f32, .shape = param.shape},
                    value.view().data));
    return value;
  };
  std::vector<LoraPair> pairs;
  const plan::ParamTable table = plan::make_param_table(spec);
  for (std::size_t i = 0; i < table.size(); ++i) {
    if (!table[i].adapts) continue;
    LoraPair pair{.rows = *table[i].adapts,
                  .module = module_of(table[i]),
                  .expert = table[i].is_expert(),
                  .a = {},
                  .b = {}};
    TERA_TRY(pair.a, read(table[i]));
    TERA_TRY(pair.b, read(table[++i]));  // A, then its B
    pairs.push_back(std::move(pair));
  }
  return pairs;
}

}  // namespace tera::infer
