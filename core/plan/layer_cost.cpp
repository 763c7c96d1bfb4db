#include "core/plan/layer_cost.h"

#include <algorithm>

#include "core/plan/adapter_table.h"
#include "core/plan/attention_cost.h"
#include "core/plan/placement.h"
#include "core/plan/product_efficiency.h"
#include "core/plan/state_bytes.h"
#include "core/plan/time_constants.h"

namespace tera::plan {
namespace {

// Norms of the residual stream in a layer.
int num_norms(const spec::ModelConfig& m) {
  return 2 * ((m.has_pre_norm() ? 1 : 0) + (m.has_post_norm() ? 1 : 0));
}

}  // namespace

bool fuses_elementwise(const spec::SoftwareConfig& software) {
  const bool by_megatron = (software.framework == spec::Framework::megatron_lm ||
                            software.framework == spec::Framework::deepspeed) &&
                           !software.fused_attention;
  return software.compiled || by_megatron;
}

// Collected while a layer's operations are listed.
struct LayerCost::Work {
  double forward_s = 0;
  double backward_s = 0;
  double weight_s = 0;  // gradients of the weights, not in backward_s
  double num_ops = 0;   // forward; backward starts twice as many
  double forward_cast_bytes = 0;
  double backward_cast_bytes = 0;
  bool in_16_bits = false;  // whatever the precision: routers and output heads
};

void Seconds::add(const Seconds& other, double times) {
  dense += times * other.dense;
  experts += times * other.experts;
  attention += times * other.attention;
  streaming += times * other.streaming;
  head += times * other.head;
  overhead += times * other.overhead;
  recompute += times * other.recompute;
  tensor += times * other.tensor;
  context += times * other.context;
  expert += times * other.expert;
}

void PassCost::add(const PassCost& other, double times) {
  forward.add(other.forward, times);
  backward.add(other.backward, times);
  weight.add(other.weight, times);
}

LayerCost::LayerCost(const spec::RunSpec& spec, const RankMesh& mesh, const FittedTimes& fitted)
    : spec_(spec), mesh_(mesh), fitted_(fitted), comm_(spec.cluster, fitted.ring_levels) {
  const spec::DeviceSpec& device = spec.cluster.device;
  const bool bf16 = spec.half_products();
  const double sharing = ranks_per_device(spec);
  peak_ = (bf16 ? device.peak_flops_per_s_bf16 : device.peak_flops_per_s_f32) / sharing;
  matmul_ = peak_ * device.matmul_share(!bf16);
  memory_ = device.memory_bytes_per_s * device.memory_efficiency / sharing;
  element_ = static_cast<double>(dtype_bytes(compute_dtype(spec.training.precision)));
  tokens_ = double{1} * spec.layout.micro_batch_size * spec.training.seq_length /
            spec.layout.context_parallel_size;
  residual_tokens_ =
      spec.layout.sequence_parallel ? tokens_ / spec.layout.tensor_parallel_size : tokens_;
}

// y [rows, columns] = x [rows, depth] w: one product forward; two backward, the second of which
// adds to f32 weight gradients in memory and is left out where adapters freeze the weights. copies:
// weights of that size (experts) that share the rows. In 8 or 4 bits each operand is read in 16 and
// written twice, by rows and by columns, as its scales run along the depth of the two products.
void LayerCost::product(
    Work& work, double rows, double columns, double depth, double copies) const {
  const spec::DeviceSpec& device = spec_.cluster.device;
  const ProductNumbers numbers =
      product_numbers(device, work.in_16_bits ? spec::Precision::bf16 : spec_.training.precision);
  const bool narrow = numbers.element_bytes > 0;
  const double rate = narrow ? numbers.flops_per_s : matmul_;
  const double operand = narrow ? numbers.element_bytes : element_;
  if (narrow) {
    work.forward_cast_bytes += rows * depth * (element_ + 2 * operand);
    work.backward_cast_bytes += rows * columns * (element_ + 2 * operand);
  }
  const auto flops_s = [&](const ProductShape& shape) {
    return 2 * rows * columns * depth /
           (rate * product_efficiency(device, shape, fitted_.operand_cost));
  };
  const double weights = columns * depth * copies;
  const double forward_bytes =
      rows * depth * operand + weights * operand + rows * columns * element_;
  const double weight_grad_bytes = rows * (depth + columns) * operand + 8 * weights;
  work.forward_s += std::max(flops_s({rows, columns, depth, copies}), forward_bytes / memory_);
  work.backward_s += std::max(flops_s({rows, depth, columns, copies}), forward_bytes / memory_);
  if (!spec_.lora.enabled()) {
    // Each group sums over its rows.
    work.weight_s += std::max(flops_s({columns * copies, depth, rows / copies, copies}),
                              weight_grad_bytes / memory_);
    work.weight_s += accumulation_bytes() * weights / memory_;
  }
  work.num_ops += 1;
}

// One product per factor of each adapter; three backward: the gradients of its input and of the
// factor, and the inner vector (A x, or B^T dy) once more. Factors are f32.
void LayerCost::adapter_products(Work& work,
                                 const ParamTable& table,
                                 double tokens,
                                 double expert_rows) const {
  for (const ParamSpec& param : table) {
    if (!param.adapts) continue;
    const double rows = param.is_expert() ? expert_rows : tokens;
    const double local = local_elements(param, spec_);
    const double copies = param.is_expert() ? static_cast<double>(param.shape.front()) : 1;
    const double wide = static_cast<double>(param.num_elements()) / copies / spec_.lora.rank;
    const double flops_s = 2 * rows * wide * spec_.lora.rank / matmul_;
    const double once_s = std::max(flops_s, (rows * wide * element_ + 4 * local) / memory_);
    work.forward_s += once_s;
    work.backward_s += 2 * once_s;
    work.weight_s += once_s;
    work.num_ops += 1;
  }
}

void LayerCost::attention_products(Work& work) const {
  const spec::ModelConfig& m = spec_.model;
  const double size = spec_.layout.tensor_parallel_size;
  const double heads = m.num_attention_heads / size;
  const double hidden = m.hidden_size;
  if (m.attention == spec::AttentionKind::latent) {
    const double query = m.q_lora_rank > 0 ? m.q_lora_rank : heads * m.qk_head_dim();
    product(work, tokens_, query, hidden);
    product(work, tokens_, double{1} * m.kv_lora_rank + m.qk_rope_head_dim, hidden);
    latent_up_products(work);
    product(work, tokens_, hidden, heads * m.v_head_dim);
    return;
  }
  const double kv_heads = std::max(1.0, m.num_key_value_heads / size);
  product(work, tokens_, (heads + 2 * kv_heads) * m.head_dim, hidden);
  product(work, tokens_, hidden, heads * m.head_dim);
}

// From latent vectors to the heads' queries, keys and values.
void LayerCost::latent_up_products(Work& work) const {
  const spec::ModelConfig& m = spec_.model;
  const double heads = double{1} * m.num_attention_heads / spec_.layout.tensor_parallel_size;
  if (m.q_lora_rank > 0) product(work, tokens_, heads * m.qk_head_dim(), m.q_lora_rank);
  product(work, tokens_, heads * (double{1} * m.qk_nope_head_dim + m.v_head_dim), m.kv_lora_rank);
}

// Per gradient and micro-batch, where sums are not part of the product.
double LayerCost::accumulation_bytes() const {
  if (is_teragpt() || spec_.software.compiled || spec_.software.fused_attention) return 0;
  return kUnfusedAccumulation.value + 2 * gradient_sum_bytes(spec_);
}

bool LayerCost::starts_block() const {
  return spec_.software.framework == spec::Framework::deepspeed && spec_.layout.zero_stage > 0 &&
         !spec_.software.compiled;
}

bool LayerCost::is_teragpt() const {
  return spec_.software.framework == spec::Framework::teragpt;
}

// Of the rows of experts, reads and writes from router to sum: into the order of experts and back.
// Plain exchanges order once more by rank on either side; others order on the way and copy out of
// and into their buffers.
double LayerCost::permutation_accesses() const {
  if (is_teragpt() || spec_.layout.expert_parallel_size == 1) return 4;
  return spec_.software.token_deduplication ? fitted_.buffered_accesses : 8;
}

// Forward bytes of the operations that only pass over memory.
LayerCost::StreamedBytes LayerCost::streamed_bytes(bool moe) const {
  const spec::ModelConfig& m = spec_.model;
  const double size = spec_.layout.tensor_parallel_size;
  const double hidden = m.hidden_size;
  // Norms (read, write), branch outputs set aside for the norm behind them (read, write) and two
  // residual sums (read two, write one).
  const double aside = m.has_post_norm() ? 2 : 0;
  double elements = residual_tokens_ * hidden * ((num_norms(m) + aside) * 2 + 2 * 3);
  double cheap = residual_tokens_ * hidden * num_norms(m) * 2;
  const bool latent = m.attention == spec::AttentionKind::latent;
  const double head_width = latent ? m.qk_rope_head_dim : m.head_dim;
  const double rotated =
      head_width * (m.num_attention_heads + (latent ? 1 : m.num_key_value_heads)) / size;
  elements += tokens_ * rotated * (m.qk_norm == spec::QkNormKind::none ? 2 : 4);
  if (latent) {  // norms of latent vectors; keys and values set together
    const double assembled = m.num_attention_heads * double{1} * (m.qk_head_dim() + m.v_head_dim);
    const double norms = tokens_ * 2 * (double{1} * m.q_lora_rank + m.kv_lora_rank);
    elements += norms + tokens_ * 2 * assembled / size;
    cheap += norms;
    if (repeats_latent_up()) cheap += tokens_ * 2 * (rotated + assembled / size);
  }
  const double inner = m.gated() ? 3 : 2;  // gate, up -> act; or in -> act
  double expert_elements = 0;
  double activations = 0;
  if (moe) {
    const double rows = residual_tokens_ * m.experts_per_token();
    expert_elements = permutation_accesses() * rows * hidden;
    const double routed = spec_.software.fused_experts ? 0 : inner * rows * m.moe_ffn_hidden_size;
    expert_elements += routed;
    // Noise, in f32, and the router's input times it.
    if (m.router_jitter > 0) elements += 3 * residual_tokens_ * hidden * 4 / element_;
    const double shared = inner * tokens_ * m.num_shared_experts * m.moe_ffn_hidden_size / size;
    elements += shared;
    elements += 2 * residual_tokens_ * m.num_experts * 4 / element_;  // scores, in f32
    activations = routed + shared;
  } else {
    activations = inner * tokens_ * m.ffn_hidden_size / size;
    elements += activations;
  }
  const double bytes = element_ * (fuses_elementwise(spec_.software) ? 1 : fitted_.eager_traffic);
  return {.all = (elements + expert_elements) * bytes,
          .experts = expert_elements * bytes,
          .cheap = (cheap + activations) * bytes};
}

void LayerCost::add_messages(bool moe, PassCost& cost) const {
  const spec::ModelConfig& m = spec_.model;
  const spec::ParallelLayout& layout = spec_.layout;
  const auto shape = [this](Axis axis) { return group_shape(mesh_.group(0, axis), spec_); };
  const double hidden_bytes = m.hidden_size * element_;
  if (layout.tensor_parallel_size > 1) {
    // Per block: gather and scatter (or one all-reduce) of [T, H] each way; sequence parallelism
    // gathers the input once more for the weight gradients. Korthikanti et al. 2022, section 4.2.
    const double once = comm_.all_gather_s(shape(Axis::tensor), tokens_ * hidden_bytes);
    const double blocks = moe && m.num_shared_experts == 0 ? 1 : 2;
    const double shown = spec_.software.tensor_overlap ? fitted_.tensor_shown : 1;
    cost.forward.tensor += shown * 2 * once * blocks;
    cost.backward.tensor += shown * (layout.sequence_parallel ? 3 : 2) * once * blocks;
  }
  if (moe) {
    const double rows_bytes = residual_tokens_ * m.experts_per_token() * hidden_bytes;
    const GroupShape experts = shape(Axis::expert);
    double once = comm_.all_to_all_s(experts, rows_bytes);
    if (spec_.software.token_deduplication) {
      once = comm_.deduplicated_all_to_all_s(
          experts, residual_tokens_ * hidden_bytes, m.experts_per_token(),
          m.router_num_groups > 1 ? m.router_top_groups : m.num_experts);
    }
    if (experts.size > 1 && !is_teragpt()) once += fitted_.exchange_setup_s;
    double exchange = 2 * once;  // dispatch, combine
    const double inner = layout.expert_tensor_parallel_size;
    if (inner > 1)
      exchange += 2 * comm_.all_gather_s(shape(Axis::expert_tensor), rows_bytes * inner);
    cost.forward.expert += exchange;
    cost.backward.expert += exchange;
    if (spec_.software.expert_overlap) overlap_exchange(cost);
  }
  if (layout.context_parallel_size > 1) {
    // Keys and values go round the ring beside the attention they feed; the rest shows.
    const double kv_heads =
        std::max(1.0, double{1} * m.num_key_value_heads / layout.tensor_parallel_size);
    const double width = m.attention == spec::AttentionKind::latent
                             ? double{1} * m.kv_lora_rank + m.qk_rope_head_dim
                             : 2 * kv_heads * m.head_dim;
    const double ring = comm_.all_gather_s(
        shape(Axis::context), tokens_ * layout.context_parallel_size * width * element_);
    cost.forward.context += std::max(0.0, ring - cost.forward.attention);
    cost.backward.context += std::max(0.0, 2 * ring - cost.backward.attention);
  }
}

// Exchanges of one micro-batch beside the work of another, backward beside forward: what does not
// fit beside the work of the layer shows, and a share of the rest.
void LayerCost::overlap_exchange(PassCost& cost) const {
  const double shown = spec_.layout.schedule == spec::ScheduleKind::dualpipe_v
                           ? kPairedExpertShown.value
                           : fitted_.expert_shown;
  const double work_s = cost.forward.compute() + cost.backward.compute();
  const double all_s = cost.forward.expert + cost.backward.expert;
  if (all_s <= 0) return;
  const double share = std::max(shown, 1 - (1 - shown) * work_s / all_s);
  cost.forward.expert *= share;
  cost.backward.expert *= share;
}

// Megatron-LM drops what latent attention makes of its latent vectors (mla_up_proj).
bool LayerCost::repeats_latent_up() const {
  return spec_.model.attention == spec::AttentionKind::latent &&
         spec_.software.framework == spec::Framework::megatron_lm;
}

// Full: the whole forward, its messages too. Selective: attention where its scores are stored
// (Korthikanti et al. 2022, section 5); else outputs of norms and activations, and of the
// up-projection of latent attention where that is dropped too: what kept_table.h leaves out.
void LayerCost::add_recompute(double cheap_s, PassCost& cost) const {
  switch (spec_.layout.recompute) {
    case spec::RecomputeKind::none:
      return;
    case spec::RecomputeKind::selective: {
      if (!spec_.software.fused_attention) {
        cost.backward.recompute += cost.forward.attention;
        return;
      }
      cost.backward.recompute += cheap_s;
      if (!repeats_latent_up()) return;
      Work up;
      latent_up_products(up);
      cost.backward.recompute += up.forward_s + up.forward_cast_bytes / memory_;
      return;
    }
    case spec::RecomputeKind::full:
      cost.backward.recompute += cost.forward.compute();
      cost.backward.tensor += cost.forward.tensor;
      cost.backward.context += cost.forward.context;
      cost.backward.expert += cost.forward.expert;
      return;
  }
}

PassCost LayerCost::layer(bool moe) const {
  const spec::ModelConfig& m = spec_.model;
  const double hidden = m.hidden_size;
  const double in_rows = m.gated() ? 2 : 1;
  const double size = spec_.layout.tensor_parallel_size;
  Work dense;
  Work experts;
  attention_products(dense);
  if (moe) {
    const double width = m.moe_ffn_hidden_size;
    const double split = spec_.layout.expert_tensor_parallel_size;
    const double rows = residual_tokens_ * m.experts_per_token() * split;
    const double local = double{1} * m.num_experts / spec_.layout.expert_parallel_size;
    dense.in_16_bits = true;
    product(dense, residual_tokens_, m.num_experts, hidden);
    dense.in_16_bits = false;
    product(experts, rows, in_rows * width / split, hidden, local);
    product(experts, rows, hidden, width / split, local);
    if (m.num_shared_experts > 0) {
      const double shared = width * m.num_shared_experts / size;
      if (m.shared_expert_gate) product(dense, tokens_, 1, hidden);
      product(dense, tokens_, in_rows * shared, hidden);
      product(dense, tokens_, hidden, shared);
    }
  } else {
    product(dense, tokens_, in_rows * m.ffn_hidden_size / size, hidden);
    product(dense, tokens_, hidden, m.ffn_hidden_size / size);
  }
  if (spec_.lora.enabled()) {
    const int layer = layer_of_kind(m, moe);
    adapter_products(dense, with_adapters(make_part_table(m, ModelPart::layer, layer), spec_.lora),
                     tokens_, residual_tokens_ * m.experts_per_token());
  }
  PassCost cost;
  cost.forward.dense = dense.forward_s;
  cost.backward.dense = dense.backward_s + dense.weight_s;
  cost.forward.experts = experts.forward_s;
  cost.backward.experts = experts.backward_s + experts.weight_s;
  cost.weight.dense = dense.weight_s;
  cost.weight.experts = experts.weight_s;
  const AttentionSeconds attention =
      attention_seconds(spec_, {.tokens = tokens_,
                                .peak_flops_per_s = peak_,
                                .memory_bytes_per_s = memory_,
                                .element_bytes = element_,
                                .operand_cost = fitted_.operand_cost});
  cost.forward.attention = attention.forward;
  cost.backward.attention = attention.backward;
  if (spec_.software.fused_experts) experts.forward_cast_bytes = experts.backward_cast_bytes = 0;
  const StreamedBytes streamed = streamed_bytes(moe);
  const auto casts = [&](double Work::*bytes) { return dense.*bytes + experts.*bytes; };
  cost.forward.streaming = (streamed.all + casts(&Work::forward_cast_bytes)) / memory_;
  cost.backward.streaming = (2 * streamed.all + casts(&Work::backward_cast_bytes)) / memory_;
  // Beside the products: attention, norms, rotary, activation, two sums; routing and permuting.
  // Latent attention: two norms and a rotary more, and three copies that make keys and values.
  const double latent_ops = m.attention == spec::AttentionKind::latent ? 6 : 0;
  const double ops =
      dense.num_ops + experts.num_ops + 5 + num_norms(m) + (moe ? 6 : 0) + latent_ops;
  const bool has_weights = dense.weight_s + experts.weight_s > 0;
  add_starts(ops, has_weights ? dense.num_ops + experts.num_ops : 0, cost);
  add_messages(moe, cost);
  // What waits for the tokens of other ranks, beside the messages.
  const HostWait expert_part{
      .forward_s = experts.forward_s + (streamed.experts + experts.forward_cast_bytes) / memory_,
      .backward_s =
          cost.backward.experts + (2 * streamed.experts + experts.backward_cast_bytes) / memory_};
  wait_for_host(moe, expert_part, cost);
  add_recompute(streamed.cheap / memory_, cost);
  return cost;
}

// TeraGPT starts an operation when the one before has ended; others queue them.
void LayerCost::add_starts(double num_ops, double num_weight_ops, PassCost& cost) const {
  const double once_s =
      spec_.cluster.device.op_overhead_s * (is_teragpt() ? 1 : fitted_.kernel_gap);
  cost.forward.overhead = num_ops * once_s;
  cost.backward.overhead = 2 * num_ops * once_s;
  cost.weight.overhead = num_weight_ops * once_s;
}

// Where the host takes longer to start operations than the device to run them. It learns from the
// device how many rows each expert gets, and so cannot run ahead of it: experts wait for the host
// by themselves, whatever the rest of the layer leaves it. Where experts have a capacity, and their
// rows are filled up to it, it knows; where another micro-batch runs beside, the device works on
// that one meanwhile, backward beside forward.
void LayerCost::wait_for_host(bool moe, const HostWait& expert_part, PassCost& cost) const {
  const spec::GraphScope recorded = spec_.software.cuda_graphs;
  if (is_teragpt() || recorded == spec::GraphScope::full) return;
  const bool torch_compiles =
      spec_.software.compiled && spec_.software.framework == spec::Framework::torchtitan;
  const bool overlaps = moe && spec_.software.expert_overlap;
  const double op_s = spec_.cluster.device.op_overhead_s * fitted_.host_ops *
                      (torch_compiles ? kCompiledHost.value : 1) *
                      (overlaps ? fitted_.overlap_host : 1);
  double experts_s = 0;  // of a forward pass; twice as many backward
  if (moe) {
    const double local = double{1} * spec_.model.num_experts / spec_.layout.expert_parallel_size;
    experts_s =
        op_s * (kExpertOps.value * local +
                (recorded == spec::GraphScope::none ? fitted_.routing_ops : fitted_.dispatch_ops));
  }
  const double share = recorded == spec::GraphScope::layers ? 0 : op_s;  // attention is recorded
  const double forward_s = kForwardOps.value * share;
  const double backward_s = kBackwardOps.value * share;
  if (starts_block()) {
    cost.forward.overhead += fitted_.blocking_start * (kForwardOps.value * op_s + experts_s);
    cost.backward.overhead += fitted_.blocking_start * (kBackwardOps.value * op_s + 2 * experts_s);
    return;
  }
  if (overlaps) {
    const double started_s = forward_s + backward_s + 3 * experts_s;
    const double wait_s = std::max(0.0, started_s - cost.forward.total() - cost.backward.total());
    cost.forward.overhead += wait_s * (forward_s + experts_s) / started_s;
    cost.backward.overhead += wait_s * (backward_s + 2 * experts_s) / started_s;
    return;
  }
  const bool knows_rows = spec_.model.expert_capacity_factor > 0;
  const auto wait = [&](double layer_s, double started_s, double part_s, Seconds& pass) {
    if (!moe || knows_rows) {
      pass.overhead += std::max(0.0, layer_s + started_s - pass.total());
      return;
    }
    const double expert_s = part_s + pass.expert;
    const double rest_s = pass.total() - expert_s;
    pass.overhead += std::max(0.0, started_s - expert_s) + std::max(0.0, layer_s - rest_s);
  };
  wait(forward_s, experts_s, expert_part.forward_s, cost.forward);
  wait(backward_s, 2 * experts_s, expert_part.backward_s, cost.backward);
}

PassCost LayerCost::embedding() const {
  const double bytes = residual_tokens_ * spec_.model.hidden_size;
  PassCost cost;
  const double passes = spec_.model.embedding_multiplier == 1 ? 1 : 2;  // gather; multiply
  cost.forward.streaming = 2 * bytes * passes * element_ / memory_;
  if (!spec_.lora.enabled())
    cost.backward.streaming = bytes * (element_ + 8) / memory_;  // read, add to f32 gradients
  cost.forward.overhead = cost.backward.overhead = spec_.cluster.device.op_overhead_s;
  cost.weight = cost.backward;
  return cost;
}

// The loss and its gradient are computed chunk by chunk in one go, so all three products fall into
// the forward pass; the f32 logits are written, read twice and written as gradients.
PassCost LayerCost::head() const {
  const double vocab = double{1} * spec_.model.vocab_size / spec_.layout.tensor_parallel_size;
  Work work{.in_16_bits = true};
  product(work, tokens_, vocab, spec_.model.hidden_size);
  if (spec_.lora.enabled()) {
    adapter_products(work, with_adapters(make_part_table(spec_.model, ModelPart::head), spec_.lora),
                     tokens_, 0);
  }
  PassCost cost;
  const double passes = spec_.software.fused_cross_entropy ? 4 : 6;  // f32 copies, once more each
  cost.forward.head =
      work.forward_s + work.backward_s + work.weight_s + passes * tokens_ * vocab * 4 / memory_;
  if (spec_.model.output_multiplier() != 1) {  // on the product's input, and on its gradient
    cost.forward.head += 2 * 2 * tokens_ * spec_.model.hidden_size * element_ / memory_;
  }
  cost.forward.overhead = 6 * spec_.cluster.device.op_overhead_s;
  cost.backward.streaming = 3 * residual_tokens_ * spec_.model.hidden_size * element_ / memory_;
  cost.backward.overhead = spec_.cluster.device.op_overhead_s;
  if (spec_.layout.tensor_parallel_size > 1) {
    const GroupShape group = group_shape(mesh_.group(0, Axis::tensor), spec_);
    cost.forward.tensor =
        2 * comm_.all_gather_s(group, tokens_ * spec_.model.hidden_size * element_);
  }
  return cost;
}

PassCost LayerCost::prediction() const {
  const double hidden = spec_.model.hidden_size;
  Work work;
  product(work, tokens_, hidden, 2 * hidden);
  PassCost cost = head();
  const PassCost lookup = embedding();
  cost.forward.add(lookup.forward, 1);
  cost.backward.add(lookup.backward, 1);
  cost.weight.add(lookup.weight, 1);
  cost.forward.dense = work.forward_s;
  cost.backward.dense = work.backward_s + work.weight_s;
  cost.weight.dense = work.weight_s;
  // Norms of embedding and hidden state, and their way into one row: read and write each.
  const double streamed_s = 4 * 2 * residual_tokens_ * hidden * element_ / memory_;
  cost.forward.streaming += streamed_s;
  cost.backward.streaming += 2 * streamed_s;
  cost.forward.overhead += 5 * spec_.cluster.device.op_overhead_s;
  cost.backward.overhead += 10 * spec_.cluster.device.op_overhead_s;
  return cost;
}

double LayerCost::stage_send_s() const {
  const GroupShape group = group_shape(mesh_.group(0, Axis::pipeline), spec_);
  const double tokens =
      is_teragpt() ? residual_tokens_ : tokens_ / spec_.layout.tensor_parallel_size;
  return comm_.send_s(group, tokens * spec_.model.hidden_size * element_);
}

double LayerCost::blocking_send_s() const {
  if (is_teragpt()) return 0;
  switch (spec_.layout.schedule) {
    case spec::ScheduleKind::gpipe:
    case spec::ScheduleKind::one_f_one_b:
    case spec::ScheduleKind::interleaved:
      // Newer software sends chunks ahead (overlap_p2p_communication).
      if (spec_.layout.virtual_stages > 1 && spec_.software.gradient_overlap) return 0;
      return fitted_.blocking_send * stage_send_s() +
             fitted_.restart_ops * fitted_.host_ops * spec_.cluster.device.op_overhead_s;
    default:  // zero-bubble schedules wait for receives only
      return 0;
  }
}

}  // namespace tera::plan
