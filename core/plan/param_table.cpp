#include "core/plan/param_table.h"

#include <functional>
#include <numeric>
#include <utility>

#include <fmt/format.h>

namespace tera::plan {
namespace {

using Shape = std::vector<std::int64_t>;
using spec::ModelConfig;

// Adds the rows of one model part after the other, in the order of the header.
class TableBuilder {
 public:
  explicit TableBuilder(const ModelConfig& model)
      : model_(model),
        hidden_(model.hidden_size),
        heads_(model.num_attention_heads),
        kv_heads_(model.num_key_value_heads),
        head_dim_(model.head_dim),
        in_rows_(model.gated() ? 2 : 1) {}

  ParamTable take() { return std::move(table_); }

  void embedding() {
    at(-1, "embedding.");
    add("tokens", {model_.vocab_size, hidden_},
        {.kind = ParamKind::embedding, .splits = split_rows({model_.vocab_size})});
    if (model_.position == spec::PositionKind::learned) {
      add("positions", {model_.max_position_embeddings, hidden_}, {.kind = ParamKind::embedding});
    }
  }

  void layer(int index) {
    const std::string attention = fmt::format("layers.{}.attention.", index);
    const std::string ffn = fmt::format("layers.{}.ffn.", index);
    at(index, attention);
    if (model_.has_pre_norm()) residual_norm("norm");
    if (model_.attention == spec::AttentionKind::latent) {
      latent_attention();
    } else {
      grouped_query_attention();
    }
    if (model_.has_post_norm()) residual_norm("post_norm");
    at(index, ffn);
    if (model_.has_pre_norm()) residual_norm("norm");
    if (model_.is_moe_layer(index)) {
      at(index, fmt::format("layers.{}.moe.", index));
      experts();
    } else {
      const bool bias = model_.ffn_bias;
      const std::int64_t width = model_.ffn_hidden_size;
      linear_in("in", in_parts(width), hidden_, {.bias = bias});
      linear_out("out", width, {.bias = bias});
    }
    at(index, ffn);
    if (model_.has_post_norm()) residual_norm("post_norm");
  }

  void prediction(int index) {
    const std::string prefix = fmt::format("layers.{}.mtp.", index);
    at(index, prefix);
    residual_norm("embedding_norm");
    residual_norm("hidden_norm");
    add("proj.weight", {hidden_, 2 * hidden_}, {});
    layer(index);
    at(index, prefix);
    residual_norm("final_norm");
  }

  void head() {
    at(-1, "");
    residual_norm("final_norm");
    if (!model_.tie_embeddings) {
      add("head.weight", {model_.vocab_size, hidden_}, {.splits = split_rows({model_.vocab_size})});
    }
  }

 private:
  struct Options {
    ParamKind kind = ParamKind::matrix;
    ParamInit init = ParamInit::normal;
    std::vector<ParamSplit> splits = {};
    Shape row_parts = {};  // of a matrix, or of each expert's; empty: one part
  };

  // Over the tensor-parallel ranks.
  static std::vector<ParamSplit> split_rows(Shape parts, std::int64_t unit = 1) {
    return {{.dim = 0, .parts = std::move(parts), .unit = unit}};
  }
  static std::vector<ParamSplit> split_columns(std::int64_t count, std::int64_t unit = 1) {
    return {{.dim = 1, .parts = {count}, .unit = unit}};
  }

  // Rows of the first matrix of a feed-forward of that width: gate and up, or up alone.
  Shape in_parts(std::int64_t width) const {
    return Shape(static_cast<std::size_t>(in_rows_), width);
  }

  void at(int layer, std::string prefix) {
    layer_ = layer;
    prefix_ = std::move(prefix);
  }

  ParamSpec& add(std::string_view name, Shape shape, const Options& options) {
    ParamSpec param;
    param.name = fmt::format("{}{}", prefix_, name);
    param.shape = std::move(shape);
    param.layer = layer_;
    param.kind = options.kind;
    param.init = options.init;
    param.splits = options.splits;
    param.row_parts = options.row_parts;
    if (param.row_parts.empty() && param.shape.size() > 1)
      param.row_parts = {param.shape[param.shape.size() - 2]};
    table_.push_back(std::move(param));
    return table_.back();
  }

  // A norm of a width, split where the normalised vector is.
  void norm(std::string_view name, std::int64_t width, std::vector<ParamSplit> splits = {}) {
    add(fmt::format("{}.weight", name), {width},
        {.kind = ParamKind::norm, .init = ParamInit::ones, .splits = std::move(splits)});
  }
  // A norm of the residual stream: LayerNorm has a bias.
  void residual_norm(std::string_view name) {
    norm(name, hidden_);
    if (model_.norm == spec::NormKind::layer) {
      add(fmt::format("{}.bias", name), {hidden_},
          {.kind = ParamKind::bias, .init = ParamInit::zeros});
    }
  }

  struct LinearOptions {
    bool bias = false;
    std::int64_t unit = 1;  // of what is split
  };
  // [rows, columns] of matrices stacked in the order of row_parts, split by rows, and bias [rows].
  void linear_in(std::string_view name,
                 const Shape& row_parts,
                 std::int64_t columns,
                 const LinearOptions& options) {
    const std::int64_t height =
        std::accumulate(row_parts.begin(), row_parts.end(), std::int64_t{0});
    const std::vector<ParamSplit> splits = split_rows(row_parts, options.unit);
    add(fmt::format("{}.weight", name), {height, columns},
        {.splits = splits, .row_parts = row_parts});
    if (!options.bias) return;
    add(fmt::format("{}.bias", name), {height},
        {.kind = ParamKind::bias, .init = ParamInit::zeros, .splits = splits});
  }
  // [H, width], split by columns, and bias [H], which is whole.
  void linear_out(std::string_view name, std::int64_t width, const LinearOptions& options) {
    add(fmt::format("{}.weight", name), {hidden_, width},
        {.init = ParamInit::scaled_normal, .splits = split_columns(width, options.unit)});
    if (!options.bias) return;
    add(fmt::format("{}.bias", name), {hidden_},
        {.kind = ParamKind::bias, .init = ParamInit::zeros});
  }

  void grouped_query_attention() {
    const std::int64_t key_rows = kv_heads_ * head_dim_;
    const std::int64_t query_rows = heads_ * head_dim_;
    linear_in("qkv", {query_rows, key_rows, key_rows}, hidden_,
              {.bias = model_.attention_bias != spec::AttentionBias::none, .unit = head_dim_});
    if (model_.qk_norm == spec::QkNormKind::per_head) {
      norm("q_norm", head_dim_);
      norm("k_norm", head_dim_);
    } else if (model_.qk_norm == spec::QkNormKind::full) {
      norm("q_norm", query_rows, split_rows({query_rows}, head_dim_));
      norm("k_norm", key_rows, split_rows({key_rows}, head_dim_));
    }
    linear_out("out", query_rows,
               {.bias = model_.attention_bias == spec::AttentionBias::all, .unit = head_dim_});
  }

  void latent_attention() {
    const std::int64_t qk_dim = std::int64_t{model_.qk_nope_head_dim} + model_.qk_rope_head_dim;
    const std::int64_t kv_dim = std::int64_t{model_.qk_nope_head_dim} + model_.v_head_dim;
    if (model_.q_lora_rank > 0) {
      add("q_down.weight", {model_.q_lora_rank, hidden_}, {});
      norm("q_down_norm", model_.q_lora_rank);
      add("q_up.weight", {heads_ * qk_dim, model_.q_lora_rank},
          {.splits = split_rows({heads_ * qk_dim}, qk_dim)});
    } else {
      add("q.weight", {heads_ * qk_dim, hidden_},
          {.splits = split_rows({heads_ * qk_dim}, qk_dim)});
    }
    add("kv_down.weight", {std::int64_t{model_.kv_lora_rank} + model_.qk_rope_head_dim, hidden_},
        {});
    norm("kv_down_norm", model_.kv_lora_rank);
    add("kv_up.weight", {heads_ * kv_dim, model_.kv_lora_rank},
        {.splits = split_rows({heads_ * kv_dim}, kv_dim)});
    linear_out("out", heads_ * model_.v_head_dim, {.unit = model_.v_head_dim});
  }

  void experts() {
    const std::int64_t count = model_.num_experts;
    const std::int64_t width = model_.moe_ffn_hidden_size;
    add("router.weight", {count, hidden_}, {.kind = ParamKind::router}).always_f32 = true;
    if (model_.expert_bias_update_rate > 0) {
      ParamSpec& bias =
          add("router.bias", {count}, {.kind = ParamKind::router_bias, .init = ParamInit::zeros});
      bias.always_f32 = true;
      bias.trainable = false;
    }
    const auto expert = [&](ParamInit init, Shape row_parts, const ParamSplit& inner) {
      return Options{.kind = ParamKind::expert,
                     .init = init,
                     .splits = {{.axis = Axis::expert, .dim = 0, .parts = {count}}, inner},
                     .row_parts = std::move(row_parts)};
    };
    add("experts.in.weight", {count, in_rows_ * width, hidden_},
        expert(ParamInit::normal, in_parts(width),
               {.axis = Axis::expert_tensor, .dim = 1, .parts = in_parts(width)}));
    add("experts.out.weight", {count, hidden_, width},
        expert(ParamInit::scaled_normal, {hidden_},
               {.axis = Axis::expert_tensor, .dim = 2, .parts = {width}}));
    if (model_.num_shared_experts > 0) {
      const std::int64_t shared = model_.num_shared_experts * width;
      linear_in("shared.in", in_parts(shared), hidden_, {});
      linear_out("shared.out", shared, {});
      if (model_.shared_expert_gate) add("shared.gate.weight", {1, hidden_}, {});
    }
  }

  const ModelConfig& model_;
  std::int64_t hidden_, heads_, kv_heads_, head_dim_;
  std::int64_t in_rows_;  // 2: gate and up
  ParamTable table_;
  int layer_ = -1;
  std::string prefix_;
};

}  // namespace

std::int64_t ParamSplit::local_extent(int ranks) const {
  std::int64_t extent = 0;
  for (const std::int64_t part : parts)
    extent += (part / unit + ranks - 1) / ranks * unit;
  return extent;
}

std::int64_t ParamSpec::num_elements() const {
  return std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
}

ParamTable make_param_table(const ModelConfig& model) {
  TableBuilder builder(model);
  builder.embedding();
  for (int layer = 0; layer < model.num_layers; ++layer)
    builder.layer(layer);
  builder.head();
  for (int layer = model.num_layers; layer < model.num_all_layers(); ++layer)
    builder.prediction(layer);
  return builder.take();
}

ParamTable make_part_table(const ModelConfig& model, ModelPart part, int layer) {
  TableBuilder builder(model);
  switch (part) {
    case ModelPart::embedding:
      builder.embedding();
      break;
    case ModelPart::layer:
      builder.layer(layer);
      break;
    case ModelPart::head:
      builder.head();
      break;
    case ModelPart::prediction:
      builder.prediction(layer);
      break;
  }
  return builder.take();
}

DType compute_dtype(spec::Precision precision) {
  switch (precision) {
    case spec::Precision::fp32:
      return DType::f32;
    case spec::Precision::bf16:
    case spec::Precision::bf16_stochastic:
    case spec::Precision::fp8_tensor:
    case spec::Precision::fp8_block:
    case spec::Precision::mxfp8:
    case spec::Precision::nvfp4:
      return DType::bf16;
    case spec::Precision::fp16:
      return DType::f16;
  }
  return DType::f32;
}

DType weight_dtype(const ParamSpec& param, spec::Precision precision) {
  return param.always_f32 ? DType::f32 : compute_dtype(precision);
}

}  // namespace tera::plan
