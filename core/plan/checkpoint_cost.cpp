#include "core/plan/checkpoint_cost.h"

#include "core/plan/adapter_table.h"
#include "core/plan/constant.h"
#include "core/plan/optimizer_state.h"
#include "core/plan/param_table.h"

namespace tera::plan {
namespace {

constexpr Constant kTwoByteVocabulary{
    "vocabulary of two-byte tokens", 65500, "words", false,
    "token files have two bytes for an id below so many, else four: Megatron-LM, "
    "indexed_dataset.py, best dtype for a vocabulary"};

}  // namespace

StorageCost storage_cost(const spec::RunSpec& spec, double num_nodes, double tokens) {
  StorageCost cost;
  for (const ParamSpec& param : make_param_table(spec)) {
    if (spec.lora.enabled() && !param.adapts) continue;  // frozen: kept where they came from
    const auto elements = static_cast<double>(param.num_elements());
    const auto element_bytes =
        static_cast<double>(dtype_bytes(weight_dtype(param, spec.training.precision)));
    cost.params_saved += elements;
    cost.checkpoint_bytes +=
        elements * element_bytes + static_cast<double>(optimizer_state_bytes(param, spec.training));
  }
  const spec::Operation& operation = spec.cluster.operation;
  cost.read_bytes_per_s = operation.storage_read_bytes_per_s * num_nodes;
  cost.write_bytes_per_s = operation.storage_write_bytes_per_s * num_nodes;
  cost.write_s = cost.checkpoint_bytes / cost.write_bytes_per_s;
  cost.read_s = cost.checkpoint_bytes / cost.read_bytes_per_s;
  cost.bytes_per_token = spec.model.vocab_size < kTwoByteVocabulary.value ? 2 : 4;
  cost.data_bytes = tokens * cost.bytes_per_token;
  return cost;
}

}  // namespace tera::plan
