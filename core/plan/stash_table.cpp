#include "core/plan/stash_table.h"

#include <functional>
#include <numeric>
#include <utility>

#include <fmt/format.h>

#include "core/plan/param_table.h"
#include "core/plan/rank_extents.h"

namespace tera::plan {
namespace {

using Shape = std::vector<std::int64_t>;
using spec::ModelConfig;

class StashBuilder {
 public:
  enum class When : std::uint8_t { after_forward, between_halves };
  StashBuilder(const spec::RunSpec& spec, When when)
      : model_(spec.model),
        when_(when),
        recompute_(spec.layout.recompute),
        compute_(compute_dtype(spec.training.precision)),
        balance_blocks_(spec.model.aux_loss_scope == spec::AuxLossScope::micro_batch
                            ? 1
                            : spec.layout.micro_batch_size),
        gathers_tokens_(spec.layout.expert_dispatcher == spec::ExpertDispatcher::all_gather),
        rank_(rank_extents(spec)),
        hidden_(spec.model.hidden_size),
        in_rows_(spec.model.gated() ? 2 : 1) {}

  std::vector<StashEntry> take() { return std::move(entries_); }

  void layer(int index) {
    prefix_ = fmt::format("layers.{}.", index);
    add("attention.x", {rank_.own_tokens, hidden_}, compute_);
    if (recompute_ == spec::RecomputeKind::full && when_ == When::after_forward) {
      if (model_.is_moe_layer(index)) router();
      return;
    }
    pre_norm("attention");
    if (model_.attention == spec::AttentionKind::latent) {
      latent_attention();
    } else {
      grouped_query_attention();
    }
    add("attention.lse", {rank_.tokens, rank_.heads}, DType::f32);
    post_norm("attention");
    if (!model_.parallel_residual) add("ffn.x", {rank_.own_tokens, hidden_}, compute_);
    pre_norm("ffn");
    if (model_.is_moe_layer(index)) {
      experts();
    } else {
      inner("ffn.inner", {rank_.tokens, in_rows_ * rank_.ffn_width});
      if (keeps_activations()) add("ffn.act", {rank_.tokens, rank_.ffn_width}, compute_);
    }
    post_norm("ffn");
    if (when_ == When::between_halves) gradients(index);
  }

  void head() {
    prefix_.clear();
    head_entries(model_.num_mtp_layers > 0);
  }

  void prediction(int index) {
    const std::string prefix = fmt::format("layers.{}.mtp.", index);
    prefix_ = prefix;
    add("embedding", {rank_.own_tokens, hidden_}, compute_);
    norm_statistics("embedding_norm");
    norm_statistics("hidden_norm");
    add("concat", {rank_.own_tokens, 2 * hidden_}, compute_);
    if (when_ == When::between_halves) {
      for (const char* gradient :
           {"d_proj", "d_embedding", "embedding_norm.d_out", "hidden_norm.d_out"})
        add(gradient, {rank_.own_tokens, hidden_}, compute_);
    }
    layer(index);
    prefix_ = prefix;
    head_entries(index + 1 < model_.num_all_layers());
  }

 private:
  // Norm outputs and activations are cheap to compute again: selective recompute drops them, and
  // makes norm outputs again when the second half of backward comes to them.
  bool keeps_norm_outputs() const { return recompute_ != spec::RecomputeKind::selective; }
  bool keeps_activations() const { return keeps_norm_outputs() || when_ == When::between_halves; }

  void add(std::string_view name, Shape shape, DType dtype) {
    entries_.push_back({fmt::format("{}{}", prefix_, name), std::move(shape), dtype});
  }

  // Input of an activation function. Its gradient takes its place in backward.
  void inner(std::string_view name, Shape shape) {
    if (when_ == When::after_forward) add(name, std::move(shape), compute_);
  }

  // What backward_weight reads.
  void gradients(int index) {
    for (const char* part : {"attention", "ffn"}) {
      const std::string name(part);
      if (model_.has_pre_norm()) add(name + ".norm.d_out", {rank_.own_tokens, hidden_}, compute_);
      if (model_.has_post_norm() && (name == "ffn" || !model_.parallel_residual))
        add(name + ".post_norm.d_out", {rank_.own_tokens, hidden_}, compute_);
    }
    if (!shares_output_gradient(index))
      add("attention.d_y", {rank_.gathered_tokens, hidden_}, compute_);
    if (model_.attention == spec::AttentionKind::latent) {
      latent_gradients();
    } else {
      const std::int64_t heads = rank_.heads;
      const std::int64_t kv_heads = rank_.kv_heads;
      add("attention.d_qkv", {rank_.tokens, heads + 2 * kv_heads, model_.head_dim}, compute_);
      if (model_.qk_norm != spec::QkNormKind::none) {
        add("attention.q_d_norm", {rank_.tokens, heads, model_.head_dim}, compute_);
        add("attention.k_d_norm", {rank_.tokens, kv_heads, model_.head_dim}, compute_);
      }
    }
    if (model_.is_moe_layer(index)) {
      expert_gradients();
    } else {
      add("ffn.d_inner", {rank_.tokens, in_rows_ * rank_.ffn_width}, compute_);
      add("ffn.d_out", {rank_.gathered_tokens, hidden_}, compute_);
    }
  }

  // Whether attention and feed-forward keep the same gradient, at the output of both.
  bool shares_output_gradient(int index) const {
    const bool of_products = !model_.is_moe_layer(index) || model_.num_shared_experts > 0;
    const bool gathers = rank_.gathered_tokens != rank_.own_tokens;  // each a copy of its own
    return model_.parallel_residual && !model_.has_post_norm() && of_products && !gathers;
  }

  void norm_statistics(const std::string& name) {
    add(name + "_rstd", {rank_.own_tokens}, DType::f32);
    if (model_.norm == spec::NormKind::layer) add(name + "_mean", {rank_.own_tokens}, DType::f32);
  }

  // read_on: by the next layer of multi-token prediction.
  void head_entries(bool read_on) {
    add("head.x", {rank_.own_tokens, hidden_}, compute_);
    norm_statistics("head.norm");
    if (read_on) add("head.norm_out", {rank_.own_tokens, hidden_}, compute_);
    add("head.dx", {rank_.own_tokens, hidden_}, compute_);
  }

  void pre_norm(const std::string& part) {
    if (!model_.has_pre_norm()) return;
    norm_statistics(part + ".norm");
    if (keeps_norm_outputs()) add(part + ".norm_out", {rank_.own_tokens, hidden_}, compute_);
  }

  void post_norm(const std::string& part) {
    if (!model_.has_post_norm()) return;
    add(part + ".branch_out", {rank_.own_tokens, hidden_}, compute_);
    norm_statistics(part + ".post_norm");
  }

  void grouped_query_attention() {
    const std::int64_t heads = rank_.heads;
    const std::int64_t kv_heads = rank_.kv_heads;
    const std::int64_t dim = model_.head_dim;
    add("attention.q", {rank_.tokens, heads, dim}, compute_);
    add("attention.k", {rank_.tokens, kv_heads, dim}, compute_);
    add("attention.v", {rank_.tokens, kv_heads, dim}, compute_);
    if (model_.qk_norm != spec::QkNormKind::none) {
      add("attention.q_raw", {rank_.tokens, heads, dim}, compute_);
      add("attention.k_raw", {rank_.tokens, kv_heads, dim}, compute_);
      const bool per_head = model_.qk_norm == spec::QkNormKind::per_head;
      add("attention.q_rstd", per_head ? Shape{rank_.tokens, heads} : Shape{rank_.tokens},
          DType::f32);
      add("attention.k_rstd", per_head ? Shape{rank_.tokens, kv_heads} : Shape{rank_.tokens},
          DType::f32);
    }
    add("attention.out", {rank_.tokens, heads, dim}, compute_);
  }

  void latent_attention() {
    const std::int64_t heads = rank_.heads;
    const std::int64_t qk_dim = std::int64_t{model_.qk_nope_head_dim} + model_.qk_rope_head_dim;
    if (model_.q_lora_rank > 0) {
      add("attention.q_latent", {rank_.gathered_tokens, model_.q_lora_rank}, compute_);
      add("attention.q_latent_rstd", {rank_.gathered_tokens}, DType::f32);
      if (keeps_norm_outputs()) {
        add("attention.q_latent_norm_out", {rank_.gathered_tokens, model_.q_lora_rank}, compute_);
      }
    }
    add("attention.kv_latent", {rank_.gathered_tokens, model_.kv_lora_rank}, compute_);
    add("attention.kv_latent_rstd", {rank_.gathered_tokens}, DType::f32);
    if (keeps_norm_outputs())
      add("attention.kv_latent_norm_out", {rank_.gathered_tokens, model_.kv_lora_rank}, compute_);
    add("attention.q", {rank_.tokens, heads, qk_dim}, compute_);
    add("attention.k", {rank_.tokens, heads, qk_dim}, compute_);
    add("attention.v", {rank_.tokens, heads, model_.v_head_dim}, compute_);
    add("attention.out", {rank_.tokens, heads, model_.v_head_dim}, compute_);
  }

  // Of queries and of keys and values: the norm's output, the product behind it, the one before it.
  void latent_gradients() {
    const std::int64_t heads = rank_.heads;
    const std::int64_t qk_dim = model_.qk_head_dim();
    const std::int64_t rope = model_.qk_rope_head_dim;
    if (model_.q_lora_rank == 0) {
      add("attention.d_query", {rank_.tokens, heads, qk_dim}, compute_);
    } else {
      add("attention.q_latent_d_up", {rank_.tokens, heads, qk_dim}, compute_);
      add("attention.q_latent_d_norm", {rank_.gathered_tokens, model_.q_lora_rank}, compute_);
      add("attention.q_latent_d_down", {rank_.gathered_tokens, model_.q_lora_rank}, compute_);
    }
    add("attention.kv_latent_d_up",
        {rank_.tokens, heads, std::int64_t{model_.qk_nope_head_dim} + model_.v_head_dim}, compute_);
    add("attention.kv_latent_d_norm", {rank_.gathered_tokens, model_.kv_lora_rank}, compute_);
    add("attention.kv_latent_d_down", {rank_.gathered_tokens, model_.kv_lora_rank + rope},
        compute_);
  }

  void expert_gradients() {
    add("moe.d_logits", {rank_.own_tokens, model_.num_experts}, DType::f32);
    add("moe.d_inner", {rank_.expert_rows, in_rows_ * rank_.expert_width}, compute_);
    add("moe.d_out", {rank_.expert_rows, hidden_}, compute_);
    if (model_.num_shared_experts == 0) return;
    add("moe.shared.d_inner", {rank_.tokens, in_rows_ * rank_.shared_width}, compute_);
    add("moe.shared.d_out", {rank_.gathered_tokens, hidden_}, compute_);
    if (model_.shared_expert_gate) add("moe.shared.d_gate", {rank_.gathered_tokens, 1}, DType::f32);
  }

  void experts() {
    const std::int64_t count = model_.num_experts;
    const std::int64_t slots = model_.router_slots();
    const std::int64_t rows = rank_.expert_rows;
    router();
    add("moe.rows", {rank_.own_tokens, slots}, DType::i32);
    add("moe.permuted", {rows, hidden_}, compute_);
    inner("moe.inner", {rows, in_rows_ * rank_.expert_width});
    if (keeps_activations()) add("moe.act", {rows, rank_.expert_width}, compute_);
    add("moe.offsets", {count + 1}, DType::i64);
    if (rank_.expert_ranks > 1) {
      add("moe.counts", {rank_.expert_ranks, count}, DType::i64);
      add("moe.row_gates", {rows}, DType::f32);
      if (gathers_tokens_)
        add("moe.choices", {rank_.expert_ranks * rank_.own_tokens, slots}, DType::i32);
    }
    if (model_.num_shared_experts > 0) {
      inner("moe.shared.inner", {rank_.tokens, in_rows_ * rank_.shared_width});
      if (keeps_activations()) add("moe.shared.act", {rank_.tokens, rank_.shared_width}, compute_);
      if (model_.shared_expert_gate) add("moe.shared.gate", {rank_.gathered_tokens, 1}, DType::f32);
    }
  }

  // Kept under every recompute: a choice is never made again.
  void router() {
    const std::int64_t count = model_.num_experts;
    const std::int64_t slots = model_.router_slots();
    const bool softmax = model_.router_score == spec::RouterScore::softmax;
    const bool z_loss = model_.z_loss_coeff > 0;
    if (model_.router_jitter > 0) add("moe.noise", {rank_.own_tokens, hidden_}, DType::f32);
    if (z_loss && !softmax) add("moe.logits", {rank_.own_tokens, count}, DType::f32);
    add("moe.scores", {rank_.own_tokens, count}, DType::f32);
    if (z_loss || softmax) add("moe.logsumexp", {rank_.own_tokens}, DType::f32);
    add("moe.indices", {rank_.own_tokens, slots}, DType::i32);
    add("moe.gates", {rank_.own_tokens, slots}, DType::f32);
    if (model_.aux_loss_coeff > 0) add("moe.balance", {balance_blocks_, count}, DType::f32);
  }

  const ModelConfig& model_;
  When when_;
  spec::RecomputeKind recompute_;
  DType compute_;
  std::int64_t balance_blocks_;
  bool gathers_tokens_;
  RankExtents rank_;
  std::int64_t hidden_;   // H
  std::int64_t in_rows_;  // 2: gate and up
  std::string prefix_;
  std::vector<StashEntry> entries_;
};

std::vector<StashEntry> make_table(const spec::RunSpec& spec,
                                   StashBuilder::When when,
                                   int first_layer,
                                   int last_layer,
                                   bool has_head) {
  StashBuilder builder(spec, when);
  for (int layer = first_layer; layer < last_layer; ++layer)
    builder.layer(layer);
  if (has_head) {
    builder.head();
    for (int layer = spec.model.num_layers; layer < spec.model.num_all_layers(); ++layer)
      builder.prediction(layer);
  }
  return builder.take();
}

}  // namespace

std::int64_t StashEntry::num_bytes() const {
  return std::accumulate(shape.begin(), shape.end(), dtype_bytes(dtype), std::multiplies<>());
}

std::vector<StashEntry> make_stash_table(const spec::RunSpec& spec,
                                         int first_layer,
                                         int last_layer,
                                         bool has_head) {
  return make_table(spec, StashBuilder::When::after_forward, first_layer, last_layer, has_head);
}

std::vector<StashEntry> make_waiting_table(const spec::RunSpec& spec,
                                           int first_layer,
                                           int last_layer,
                                           bool has_head) {
  return make_table(spec, StashBuilder::When::between_halves, first_layer, last_layer, has_head);
}

}  // namespace tera::plan
