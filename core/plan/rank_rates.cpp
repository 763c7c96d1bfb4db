#include "core/plan/rank_rates.h"

#include "core/plan/placement.h"

namespace tera::plan {

RankRates rank_rates(const spec::RunSpec& spec) {
  const spec::DeviceSpec& device = spec.cluster.device;
  const bool bf16 = spec.half_products();
  const double sharing = ranks_per_device(spec);
  const double peak = (bf16 ? device.peak_flops_per_s_bf16 : device.peak_flops_per_s_f32) / sharing;
  const double tokens = double{1} * spec.layout.micro_batch_size * spec.training.seq_length /
                        spec.layout.context_parallel_size;
  return {.peak_flops_per_s = peak,
          .matmul_flops_per_s = peak * device.matmul_share(!bf16),
          .memory_bytes_per_s = device.memory_bytes_per_s * device.memory_efficiency / sharing,
          .element_bytes = static_cast<double>(dtype_bytes(compute_dtype(spec.training.precision))),
          .tokens = tokens,
          .residual_tokens =
              spec.layout.sequence_parallel ? tokens / spec.layout.tensor_parallel_size : tokens};
}

}  // namespace tera::plan
