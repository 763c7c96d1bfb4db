#include "core/plan/layer_products.h"

#include <algorithm>

#include "core/plan/adapter_table.h"
#include "core/plan/placement.h"
#include "core/plan/product_efficiency.h"
#include "core/plan/state_bytes.h"
#include "core/plan/time_constants.h"

namespace tera::plan {

void LayerProducts::add(
    spec::Precision precision, double rows, double columns, double depth, double copies) {
  const spec::DeviceSpec& device = spec_.cluster.device;
  const double memory = rates_.memory_bytes_per_s;
  const double element = rates_.element_bytes;
  const ProductNumbers numbers = product_numbers(device, precision);
  const bool narrow = numbers.element_bytes > 0;
  const double rate = narrow ? numbers.flops_per_s : rates_.matmul_flops_per_s;
  const double operand = narrow ? numbers.element_bytes : element;
  if (narrow) {
    seconds_.forward_cast_bytes += rows * depth * (element + 2 * operand);
    seconds_.backward_cast_bytes += rows * columns * (element + 2 * operand);
  }
  const auto flops_s = [&](const ProductShape& shape) {
    return 2 * rows * columns * depth /
           (rate * product_efficiency(device, shape, fitted_.operand_cost));
  };
  const double weights = columns * depth * copies;
  const double forward_bytes =
      rows * depth * operand + weights * operand + rows * columns * element;
  // Gradients are added to their sums, or written for an operation of its own that does.
  const double gradient_bytes =
      accumulation_bytes() > 0 ? kUnfusedAccumulation.value : 2 * gradient_sum_bytes(spec_);
  const double weight_grad_bytes = rows * (depth + columns) * operand + gradient_bytes * weights;
  // A processor fetches weights with the cores that multiply, so that both times add up. The share
  // of its peak was measured with so many rows for each weight that theirs is in it; fewer rows
  // have more weights to wait for.
  const double beyond_measured = std::max(0.0, 1 - rows / copies / kMeasuredRows.value);
  const auto weights_s = [&](double bytes_of_each) {
    return device.is_cpu ? beyond_measured * bytes_of_each * weights / memory : 0;
  };
  seconds_.forward_s += std::max(flops_s({rows, columns, depth, copies}) + weights_s(operand),
                                 forward_bytes / memory);
  seconds_.backward_s += std::max(flops_s({rows, depth, columns, copies}) + weights_s(operand),
                                  forward_bytes / memory);
  if (!spec_.lora.enabled()) {
    // Each group sums over its rows.
    seconds_.weight_s += std::max(
        flops_s({columns * copies, depth, rows / copies, copies}) + weights_s(gradient_bytes),
        weight_grad_bytes / memory);
    seconds_.weight_s += accumulation_bytes() * weights / memory;
  }
  seconds_.num_ops += 1;
}

void LayerProducts::add_adapters(const ParamTable& table, double tokens, double expert_rows) {
  for (const ParamSpec& param : table) {
    if (!param.adapts) continue;
    const double rows = param.is_expert() ? expert_rows : tokens;
    const double local = local_elements(param, spec_);
    const double copies = param.is_expert() ? static_cast<double>(param.shape.front()) : 1;
    const double wide = static_cast<double>(param.num_elements()) / copies / spec_.lora.rank;
    const double flops_s = 2 * rows * wide * spec_.lora.rank / rates_.matmul_flops_per_s;
    const double bytes = rows * wide * rates_.element_bytes + 4 * local;
    const double once_s = std::max(flops_s, bytes / rates_.memory_bytes_per_s);
    seconds_.forward_s += once_s;
    seconds_.backward_s += 2 * once_s;
    seconds_.weight_s += once_s;
    seconds_.num_ops += 1;
  }
}

void LayerProducts::add_attention() {
  const spec::ModelConfig& m = spec_.model;
  const double size = spec_.layout.tensor_parallel_size;
  const double tokens = rates_.tokens;
  const double heads = m.num_attention_heads / size;
  const double hidden = m.hidden_size;
  if (m.attention == spec::AttentionKind::latent) {
    const double query = m.q_lora_rank > 0 ? m.q_lora_rank : heads * m.qk_head_dim();
    add(tokens, query, hidden);
    add(tokens, double{1} * m.kv_lora_rank + m.qk_rope_head_dim, hidden);
    add_latent_up();
    add(tokens, hidden, heads * m.v_head_dim);
    return;
  }
  const double kv_heads = std::max(1.0, m.num_key_value_heads / size);
  add(tokens, (heads + 2 * kv_heads) * m.head_dim, hidden);
  add(tokens, hidden, heads * m.head_dim);
}

void LayerProducts::add_latent_up() {
  const spec::ModelConfig& m = spec_.model;
  const double heads = double{1} * m.num_attention_heads / spec_.layout.tensor_parallel_size;
  if (m.q_lora_rank > 0) add(rates_.tokens, heads * m.qk_head_dim(), m.q_lora_rank);
  add(rates_.tokens, heads * (double{1} * m.qk_nope_head_dim + m.v_head_dim), m.kv_lora_rank);
}

// Per gradient and micro-batch, where sums are not part of the product.
double LayerProducts::accumulation_bytes() const {
  const spec::SoftwareConfig& software = spec_.software;
  const bool apart = software.framework == spec::Framework::megatron_lm ||
                     software.framework == spec::Framework::deepspeed;
  if (!apart || software.compiled) return 0;
  return kUnfusedAccumulation.value + 2 * gradient_sum_bytes(spec_);
}

LayerProductSeconds layer_products(const spec::RunSpec& spec,
                                   const RankRates& rates,
                                   const FittedTimes& fitted,
                                   bool moe) {
  const spec::ModelConfig& m = spec.model;
  const double hidden = m.hidden_size;
  const double in_rows = m.gated() ? 2 : 1;
  const double size = spec.layout.tensor_parallel_size;
  LayerProducts dense(spec, rates, fitted);
  LayerProducts experts(spec, rates, fitted);
  dense.add_attention();
  if (moe) {
    const double width = m.moe_ffn_hidden_size;
    const double split = spec.layout.expert_tensor_parallel_size;
    const double rows = rates.residual_tokens * m.rows_per_token() * split;
    const double local = double{1} * m.num_experts / spec.layout.expert_parallel_size;
    dense.add_in_16_bits(rates.residual_tokens, m.num_experts, hidden);
    experts.add(rows, in_rows * width / split, hidden, local);
    experts.add(rows, hidden, width / split, local);
    if (m.num_shared_experts > 0) {
      const double shared = width * m.num_shared_experts / size;
      if (m.shared_expert_gate) dense.add(rates.tokens, 1, hidden);
      dense.add(rates.tokens, in_rows * shared, hidden);
      dense.add(rates.tokens, hidden, shared);
    }
  } else {
    dense.add(rates.tokens, in_rows * m.ffn_hidden_size / size, hidden);
    dense.add(rates.tokens, hidden, m.ffn_hidden_size / size);
  }
  if (spec.lora.enabled()) {
    const ParamTable part = make_part_table(m, ModelPart::layer, layer_of_kind(m, moe));
    dense.add_adapters(with_adapters(part, spec.lora), rates.tokens,
                       rates.residual_tokens * m.rows_per_token());
  }
  LayerProductSeconds seconds{dense.seconds(), experts.seconds()};
  if (spec.software.fused_experts)  // casts run inside the products
    seconds.experts.forward_cast_bytes = seconds.experts.backward_cast_bytes = 0;
  return seconds;
}

}  // namespace tera::plan
