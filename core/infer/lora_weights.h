// The adapters of a checkpoint, read for those who merge or export them.
#pragma once
#include <string>
#include <vector>

#include "core/base/result.h"
#include "core/checkpoint/weights.h"
#include "core/plan/param_table.h"
#include "core/spec/run_spec.h"
#include "core/tensor/tensor.h"

namespace tera::infer {

struct LoraPair {
  plan::AdaptedRows rows;
  std::string module;  // "attention.q", as in lora.target_modules
  bool expert = false;
  Tensor a;  // [r, in], [E, r, in] f32
  Tensor b;  // [out, r], [E, out, r] f32
};

// In the order of the weights they adapt. Errors: the checkpoint holds none (invalid_input), or no
// running mean of them (not_found).
Result<std::vector<LoraPair>> read_adapters(const checkpoint::Reader& reader,
                                            const spec::RunSpec& spec,
                                            Backend& backend,
                                            checkpoint::WeightSet weights);

}  // namespace tera::infer
