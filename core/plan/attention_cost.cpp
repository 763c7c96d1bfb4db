#include "core/plan/attention_cost.h"

#include "core/plan/product_efficiency.h"
#include "core/plan/time_constants.h"

namespace tera::plan {
namespace {

// Elements of [s, s] that pass through memory; a mask is half an element.
struct ScorePasses {
  double forward;
  double backward;
};
ScorePasses score_passes(bool dropout) {
  // Write q k^T; softmax reads, writes; p v reads. Backward: write dp; softmax reads p and dp,
  // writes; products read for dq, dk and dv.
  ScorePasses passes{4, 7};
  if (dropout) {  // reads, writes, and its mask of one byte for two; backward the same
    passes.forward += 2 + 1.0 / 2;
    passes.backward += 2 + 1.0 / 2;
  }
  return passes;
}

AttentionSeconds fused(const spec::RunSpec& spec, const AttentionRates& rates, double flops) {
  const spec::DeviceSpec& device = spec.cluster.device;
  const double whole =
      flops / (rates.peak_flops_per_s * device.attention_share(!spec.half_products()) *
               spec.software.attention_share);
  if (device.is_cpu) return {whole, kAttentionBackwardWork.value * whole};
  const double length = spec.training.seq_length;
  const double units =
      device.num_multiprocessors > 0 ? device.num_multiprocessors : kAttentionHalfLengthUnits.value;
  const double half_length = kAttentionHalfLength.value * (rates.peak_flops_per_s / units) /
                             (kAttentionHalfLengthSpeed.value / kAttentionHalfLengthUnits.value);
  const double short_rows = (length + half_length) / length;
  return {whole * short_rows * kAttentionForward.value,
          kAttentionBackwardWork.value * whole * short_rows * kAttentionBackward.value};
}

AttentionSeconds stored(const spec::RunSpec& spec, const AttentionRates& rates, double flops) {
  const spec::ModelConfig& m = spec.model;
  const double length = spec.training.seq_length;
  const double heads = double{1} * m.num_attention_heads / spec.layout.tensor_parallel_size;
  const double squares = heads * rates.tokens / length;  // one for each head and sequence
  const spec::DeviceSpec& device = spec.cluster.device;
  const double width = m.qk_head_dim();
  const double efficiency =
      product_efficiency(device, {squares * length, length, width, squares}, rates.operand_cost) *
      device.matmul_share(!spec.half_products());
  double products_s = flops / (rates.peak_flops_per_s * efficiency);
  if (m.qk_head_dim() * static_cast<int>(rates.element_bytes) % 16 != 0)
    products_s *= kUnalignedProduct.value;
  const ScorePasses passes = score_passes(spec.software.dropout);
  const double pass_s = squares * length * length * rates.element_bytes / rates.memory_bytes_per_s;
  return {products_s + passes.forward * pass_s, 2 * products_s + passes.backward * pass_s};
}

}  // namespace

double mean_tokens_seen(const spec::ModelConfig& model, int seq_length) {
  const double length = seq_length;
  const double window = model.sliding_window;
  return window > 0 && window < length ? window - window * window / (2 * length) : length / 2;
}

AttentionSeconds attention_seconds(const spec::RunSpec& spec, const AttentionRates& rates) {
  const spec::ModelConfig& m = spec.model;
  const bool is_fused = spec.software.fused_attention;
  const double seen =
      is_fused ? mean_tokens_seen(m, spec.training.seq_length) : spec.training.seq_length;
  const double dims = double{1} * m.qk_head_dim() +
                      (m.attention == spec::AttentionKind::latent ? m.v_head_dim : m.head_dim);
  // 2 (dqk + dv) per head, token and token it sees.
  const double flops =
      2 * rates.tokens * seen * dims * m.num_attention_heads / spec.layout.tensor_parallel_size;
  return is_fused ? fused(spec, rates, flops) : stored(spec, rates, flops);
}

}  // namespace tera::plan
