#include "core/plan/layer_cost.h"

#include "core/plan/adapter_table.h"
#include "core/plan/attention_cost.h"
#include "core/plan/layer_products.h"
#include "core/plan/layer_traffic.h"
#include "core/plan/operation_starts.h"

namespace tera::plan {

LayerCost::LayerCost(const spec::RunSpec& spec, const RankMesh& mesh, const FittedTimes& fitted)
    : spec_(spec),
      fitted_(fitted),
      rates_(rank_rates(spec)),
      messages_(spec, mesh, rates_, fitted) {}

PassCost LayerCost::layer(bool moe) const {
  const spec::ModelConfig& m = spec_.model;
  const double memory = rates_.memory_bytes_per_s;
  const LayerProductSeconds products = layer_products(spec_, rates_, fitted_, moe);
  const ProductSeconds& dense = products.dense;
  const ProductSeconds& experts = products.experts;
  PassCost cost;
  cost.forward.dense = dense.forward_s;
  cost.backward.dense = dense.backward_s + dense.weight_s;
  cost.forward.experts = experts.forward_s;
  cost.backward.experts = experts.backward_s + experts.weight_s;
  cost.weight.dense = dense.weight_s;
  cost.weight.experts = experts.weight_s;
  const AttentionSeconds attention =
      attention_seconds(spec_, {.tokens = rates_.tokens,
                                .peak_flops_per_s = rates_.peak_flops_per_s,
                                .memory_bytes_per_s = memory,
                                .element_bytes = rates_.element_bytes,
                                .operand_cost = fitted_.operand_cost});
  cost.forward.attention = attention.forward;
  cost.backward.attention = attention.backward;
  const StreamedBytes streamed = streamed_bytes(spec_, rates_, fitted_, moe);
  const auto casts = [&](double ProductSeconds::*bytes) { return dense.*bytes + experts.*bytes; };
  cost.forward.streaming = (streamed.all + casts(&ProductSeconds::forward_cast_bytes)) / memory;
  cost.backward.streaming =
      (2 * streamed.all + casts(&ProductSeconds::backward_cast_bytes)) / memory;
  // Beside the products: attention, norms, rotary, activation, two sums; routing and permuting.
  // Latent attention: two norms and a rotary more, and three copies that make keys and values.
  const double latent_ops = m.attention == spec::AttentionKind::latent ? 6 : 0;
  const double ops =
      dense.num_ops + experts.num_ops + 5 + num_residual_norms(m) + (moe ? 6 : 0) + latent_ops;
  const bool has_weights = dense.weight_s + experts.weight_s > 0;
  set_starts(spec_, fitted_, ops, has_weights ? dense.num_ops + experts.num_ops : 0, cost);
  messages_.add(moe, cost);
  const ExpertPart expert_part{
      .forward_s = experts.forward_s + (streamed.experts + experts.forward_cast_bytes) / memory,
      .backward_s =
          cost.backward.experts + (2 * streamed.experts + experts.backward_cast_bytes) / memory};
  add_host_wait(spec_, fitted_, moe, expert_part, cost);
  add_recompute(streamed.cheap / memory, cost);
  return cost;
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
      if (!repeats_latent_up(spec_)) return;
      LayerProducts up(spec_, rates_, fitted_);
      up.add_latent_up();
      cost.backward.recompute +=
          up.seconds().forward_s + up.seconds().forward_cast_bytes / rates_.memory_bytes_per_s;
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

PassCost LayerCost::embedding() const {
  const double elements = rates_.residual_tokens * spec_.model.hidden_size;
  const double element = rates_.element_bytes;
  PassCost cost;
  const double passes = spec_.model.embedding_multiplier == 1 ? 1 : 2;  // gather; multiply
  cost.forward.streaming = 2 * elements * passes * element / rates_.memory_bytes_per_s;
  if (!spec_.lora.enabled()) {  // read, add to f32 gradients
    cost.backward.streaming = elements * (element + 8) / rates_.memory_bytes_per_s;
  }
  cost.forward.overhead = cost.backward.overhead = spec_.cluster.device.op_overhead_s;
  cost.weight = cost.backward;
  return cost;
}

// The loss and its gradient are computed chunk by chunk in one go, so all three products fall into
// the forward pass; the f32 logits are written, read twice and written as gradients.
PassCost LayerCost::head() const {
  const double vocab = double{1} * spec_.model.vocab_size / spec_.layout.tensor_parallel_size;
  const double hidden = spec_.model.hidden_size;
  const double memory = rates_.memory_bytes_per_s;
  const double element = rates_.element_bytes;
  LayerProducts products(spec_, rates_, fitted_);
  products.add_in_16_bits(rates_.tokens, vocab, hidden);
  if (spec_.lora.enabled()) {
    products.add_adapters(with_adapters(make_part_table(spec_.model, ModelPart::head), spec_.lora),
                          rates_.tokens, 0);
  }
  const ProductSeconds& work = products.seconds();
  PassCost cost;
  const double passes = spec_.software.fused_cross_entropy ? 4 : 6;  // f32 copies, once more each
  cost.forward.head = work.forward_s + work.backward_s + work.weight_s +
                      passes * rates_.tokens * vocab * 4 / memory;
  if (spec_.model.output_multiplier() != 1) {  // on the product's input, and on its gradient
    cost.forward.head += 2 * 2 * rates_.tokens * hidden * element / memory;
  }
  cost.forward.overhead = 6 * spec_.cluster.device.op_overhead_s;
  cost.backward.streaming = 3 * rates_.residual_tokens * hidden * element / memory;
  cost.backward.overhead = spec_.cluster.device.op_overhead_s;
  cost.forward.tensor = messages_.head_s();
  return cost;
}

PassCost LayerCost::prediction() const {
  const double hidden = spec_.model.hidden_size;
  LayerProducts products(spec_, rates_, fitted_);
  products.add(rates_.tokens, hidden, 2 * hidden);
  const ProductSeconds& work = products.seconds();
  PassCost cost = head();
  const PassCost lookup = embedding();
  cost.forward.add(lookup.forward, 1);
  cost.backward.add(lookup.backward, 1);
  cost.weight.add(lookup.weight, 1);
  cost.forward.dense = work.forward_s;
  cost.backward.dense = work.backward_s + work.weight_s;
  cost.weight.dense = work.weight_s;
  // Norms of embedding and hidden state, and their way into one row: read and write each.
  const double streamed_s =
      4 * 2 * rates_.residual_tokens * hidden * rates_.element_bytes / rates_.memory_bytes_per_s;
  cost.forward.streaming += streamed_s;
  cost.backward.streaming += 2 * streamed_s;
  cost.forward.overhead += 5 * spec_.cluster.device.op_overhead_s;
  cost.backward.overhead += 10 * spec_.cluster.device.op_overhead_s;
  return cost;
}

}  // namespace tera::plan
