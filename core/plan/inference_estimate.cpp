#include "core/plan/inference_estimate.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include <fmt/format.h>

#include "core/base/units.h"
#include "core/plan/cost_model.h"
#include "core/plan/inference_terms.h"
#include "core/plan/layer_cost.h"
#include "core/plan/param_table.h"
#include "core/plan/placement.h"

namespace tera::plan {
namespace {

using spec::RunSpec;

// More at once than any replica has; the limit of inference.max_requests.
constexpr double kMostRequests = 1 << 20;

double format_bytes_of(spec::InferenceFormat format) {
  return format == spec::InferenceFormat::fp8 ? 1 : 2;
}

// The spec of one forward pass of the replica: rows tokens in each copy of attention.
RunSpec pass_spec(const RunSpec& spec, const ReplicaLayout& layout, int batch, int seq_length) {
  RunSpec pass = spec;
  pass.layout = {};
  pass.layout.tensor_parallel_size = layout.tensor;
  pass.layout.data_parallel_size = static_cast<int>(layout.copies());
  pass.layout.pipeline_parallel_size = layout.pipeline;
  pass.layout.expert_parallel_size = layout.expert;
  pass.layout.expert_tensor_parallel_size =
      static_cast<int>(layout.stage_devices() / layout.expert);
  pass.layout.micro_batch_size = batch;
  pass.training.seq_length = seq_length;
  pass.training.precision = spec.cluster.device.peak_flops_per_s_bf16 >= 1 ? spec::Precision::bf16
                                                                           : spec::Precision::fp32;
  pass.lora = {};  // merged into the weights
  pass.model.num_mtp_layers = 0;
  return pass;
}

// Weights of a part on one device.
struct PartWeights {
  double dense_params = 0;  // in products with every token
  double expert_params = 0;
  double dense_bytes = 0;
  double expert_bytes = 0;
  double bytes() const { return dense_bytes + expert_bytes; }
};

PartWeights part_weights(const RunSpec& pass, ModelPart part, int layer = 0) {
  const double matrix_bytes = format_bytes_of(pass.inference.weight_format);
  PartWeights weights;
  for (const ParamSpec& param : make_part_table(pass.model, part, layer)) {
    const double elements = local_elements(param, pass);
    const bool is_matrix = param.kind == ParamKind::matrix || param.is_expert();
    const double bytes = elements * (is_matrix ? matrix_bytes : param.always_f32 ? 4 : 2);
    (param.is_expert() ? weights.expert_bytes : weights.dense_bytes) += bytes;
    if (param.is_expert()) weights.expert_params += elements;
    if (param.kind == ParamKind::matrix || param.kind == ParamKind::router)
      weights.dense_params += elements;
  }
  return weights;
}

struct ReplicaWeights {
  PartWeights dense_layer;
  PartWeights moe_layer;
  double embedding_bytes = 0;
  PartWeights head;         // final norm and output matrix
  double head_product = 0;  // parameters read for a token's logits, tied or not
};

ReplicaWeights replica_weights(const RunSpec& pass) {
  const spec::ModelConfig& model = pass.model;
  ReplicaWeights weights;
  if (model.num_layers > model.num_moe_layers(model.num_layers))
    weights.dense_layer = part_weights(pass, ModelPart::layer, layer_of_kind(model, false));
  if (model.num_moe_layers(model.num_layers) > 0)
    weights.moe_layer = part_weights(pass, ModelPart::layer, layer_of_kind(model, true));
  weights.embedding_bytes = part_weights(pass, ModelPart::embedding).bytes();
  weights.head = part_weights(pass, ModelPart::head);
  weights.head_product =
      double{1} * model.vocab_size * model.hidden_size / pass.layout.tensor_parallel_size;
  return weights;
}

// Tokens whose keys and values are kept after so many.
double kept_tokens(const spec::ModelConfig& model, double tokens) {
  return model.sliding_window > 0 ? std::min<double>(model.sliding_window, tokens) : tokens;
}

// Numbers kept for one token in one layer on one device of `tensor`. Latent attention keeps the
// latent vector and one rotary key on each of them. Source: DeepSeek-AI 2024, DeepSeek-V2, 2.1.2.
double cache_numbers(const spec::ModelConfig& model, int tensor) {
  if (model.attention == spec::AttentionKind::latent)
    return double{1} * model.kv_lora_rank + model.qk_rope_head_dim;
  const double heads = std::ceil(double{1} * model.num_key_value_heads / tensor);
  return 2 * heads * model.head_dim;
}

// FLOPs of one new token against one cached token, in one layer on one device. Latent attention
// compares and sums latent vectors (its projections taken into query and output; section 2.1.2).
double attention_flops_per_cached(const spec::ModelConfig& model, int tensor) {
  const double heads = double{1} * model.num_attention_heads / tensor;
  const double dims = model.attention == spec::AttentionKind::latent
                          ? 2.0 * model.kv_lora_rank + model.qk_rope_head_dim
                          : 2.0 * model.head_dim;
  return 2 * heads * dims;
}

// A prompt in each copy of attention through the fullest stage.
void add_prefill(const RunSpec& spec,
                 const ReplicaLayout& layout,
                 const LayerMix& layers,
                 InferenceFigures& figures) {
  const RunSpec pass = pass_spec(spec, layout, 1, spec.inference.prompt_tokens);
  const Result<RankMesh> mesh = RankMesh::make(pass.layout);
  const LayerCost cost(pass, *mesh);
  PassCost stage;
  if (layers.dense > 0) stage.add(cost.layer(false), layers.dense);
  if (layers.moe > 0) stage.add(cost.layer(true), layers.moe);
  figures.prefill_compute_s = stage.forward.compute();
  figures.prefill_messages_s =
      stage.forward.communication() + (layout.pipeline > 1 ? cost.stage_send_s() : 0);
}

// One token of each request in flight through the fullest stage, batch requests in each copy.
void add_decode(const RunSpec& spec,
                const ReplicaLayout& layout,
                const LayerMix& layers,
                const ReplicaWeights& weights,
                int batch,
                InferenceFigures& figures) {
  const RunSpec pass = pass_spec(spec, layout, batch, 1);
  const Result<RankMesh> mesh = RankMesh::make(pass.layout);
  const LayerCost cost(pass, *mesh);
  const spec::ModelConfig& model = pass.model;
  const spec::DeviceSpec& device = spec.cluster.device;
  const double flops_per_s = cost.matmul_flops_per_s();
  const double tokens = double{1} * batch * static_cast<double>(layout.copies());
  // Experts that at least one of the tokens goes to, when each takes its own at random.
  const double chosen = model.num_experts > 0 ? model.experts_per_token() / model.num_experts : 0;
  figures.touched_experts = 1 - std::pow(1 - chosen, tokens);

  const auto add_layers = [&](const PartWeights& layer, bool moe, double count) {
    if (count <= 0) return;
    const double bytes = layer.dense_bytes + figures.touched_experts * layer.expert_bytes;
    const double flops = 2 * (batch * layer.dense_params + tokens * chosen * layer.expert_params);
    figures.weights_read += count * bytes;
    figures.products_s += count * std::max(bytes / cost.memory_bytes_per_s(), flops / flops_per_s);
    const Seconds forward = cost.layer(moe).forward;
    figures.overhead_s += count * forward.overhead;
    figures.messages_s += count * forward.communication();
  };
  add_layers(weights.dense_layer, false, layers.dense);
  add_layers(weights.moe_layer, true, layers.moe);
  const double head_bytes = weights.head_product * format_bytes_of(spec.inference.weight_format);
  figures.weights_read += head_bytes;
  figures.products_s += std::max(head_bytes / cost.memory_bytes_per_s(),
                                 2 * batch * weights.head_product / flops_per_s);

  // Half of the output is written on average.
  const spec::InferenceConfig& serving = spec.inference;
  figures.context = kept_tokens(model, serving.prompt_tokens + serving.output_tokens / 2.0);
  const double cached = batch * figures.context * (layers.dense + layers.moe);
  figures.cache_read =
      cached * cache_numbers(model, layout.tensor) * format_bytes_of(serving.cache_format);
  figures.attention_s =
      std::max(figures.cache_read / cost.memory_bytes_per_s(),
               cached * attention_flops_per_cached(model, layout.tensor) /
                   (cost.peak_flops_per_s() * device.attention_share(!pass.half_products())));
  if (layout.pipeline > 1) figures.messages_s += cost.stage_send_s();
}

Result<void> check_layout(const RunSpec& spec, const ReplicaLayout& layout) {
  const auto refuse = [](const char* field, int value, std::string why, std::string hint) {
    return fail(ErrorCode::invalid_input, fmt::format("inference.{}: {} {}", field, value, why),
                std::move(hint));
  };
  if (spec.model.num_attention_heads % layout.tensor != 0) {
    return refuse("tensor_parallel_size", layout.tensor,
                  fmt::format("does not divide model.num_attention_heads = {}",
                              spec.model.num_attention_heads),
                  "use a divisor, or 0 to have it chosen");
  }
  if (layout.pipeline > spec.model.num_layers) {
    return refuse("pipeline_parallel_size", layout.pipeline,
                  fmt::format("is more than model.num_layers = {}", spec.model.num_layers),
                  "use fewer, or 0 to have it chosen");
  }
  if (layout.expert > 1 && spec.model.num_experts % layout.expert != 0) {
    return refuse("expert_parallel_size", layout.expert,
                  fmt::format("does not divide model.num_experts = {}", spec.model.num_experts),
                  "use a divisor, or 0 to have it chosen");
  }
  if (std::max(layout.tensor, layout.expert) % std::min(layout.tensor, layout.expert) != 0) {
    return refuse(
        "expert_parallel_size", layout.expert,
        fmt::format("and tensor_parallel_size = {}: neither divides the other", layout.tensor),
        "use powers of two, or 0 to have them chosen");
  }
  if (layout.devices() > spec.cluster.num_devices()) {
    return fail(ErrorCode::invalid_input,
                fmt::format("inference: a replica of {} devices, but the cluster has {}",
                            layout.devices(), spec.cluster.num_devices()),
                "lower the sizes of inference, or raise cluster.num_nodes");
  }
  const spec::Cluster& cluster = spec.cluster;
  if (!can_link(cluster, layout)) {
    return fail(ErrorCode::invalid_input,
                fmt::format("inference: a replica of {} devices, but cluster.{}.bytes_per_s is 0",
                            layout.devices(),
                            cluster.intra_node.bytes_per_s < 1 ? "intra_node" : "inter_node"),
                "give the bandwidth, for example 50e9");
  }
  return {};
}

// What an hour of a device costs, at its limit of power.
double device_hour_usd(const spec::Cluster& cluster) {
  const spec::Operation& operation = cluster.operation;
  if (operation.payment == spec::Payment::rented) return cluster.device.price_usd_per_h;
  const double watts =
      (cluster.device.peak_power_w + operation.node_power_w / cluster.devices_per_node) *
      cluster.power_usage_effectiveness;
  return operation.capital_usd_per_device / (operation.service_years * kHoursPerYear) +
         watts / 1000 * operation.electricity_usd_per_kwh;
}

void add_money(const RunSpec& spec, InferenceEstimate& result) {
  result.usd_per_device_hour = device_hour_usd(spec.cluster);
  const double usd_per_s =
      result.usd_per_device_hour * static_cast<double>(result.layout.devices()) / 3600;
  const double tokens = double{1} * spec.inference.prompt_tokens + spec.inference.output_tokens;
  constexpr double kMillion = 1e6;
  result.usd_per_m_prompt_tokens = usd_per_s / result.prompt_tokens_per_s * kMillion;
  result.usd_per_m_output_tokens = usd_per_s / result.output_tokens_per_s * kMillion;
  result.usd_per_m_tokens = usd_per_s / (result.requests_per_s * tokens) * kMillion;
}

}  // namespace

bool can_link(const spec::Cluster& cluster, const ReplicaLayout& layout) {
  if (layout.devices() > 1 && cluster.devices_per_node > 1 && cluster.intra_node.bytes_per_s < 1)
    return false;
  return layout.devices() <= cluster.devices_per_node || cluster.inter_node.bytes_per_s >= 1;
}

Result<InferenceEstimate> estimate_inference(const RunSpec& spec, const ReplicaLayout& layout) {
  TERA_TRY_VOID(check_layout(spec, layout));
  const spec::InferenceConfig& serving = spec.inference;
  const RunSpec pass = pass_spec(spec, layout, 1, 1);
  const ReplicaWeights weights = replica_weights(pass);
  InferenceEstimate result;
  InferenceFigures figures;
  result.layout = layout;
  result.capacity_bytes = spec.cluster.device.memory_bytes - spec.cluster.device.reserved_bytes;

  // The first stage has as many layers as any, and the embedding; the last the head.
  const LayerRange first = part_layers(spec.model.num_layers, layout.pipeline, 0);
  LayerMix layers = layer_mix(spec.model, first);
  for (int stage = 0; stage < layout.pipeline; ++stage) {
    const LayerRange range = part_layers(spec.model.num_layers, layout.pipeline, stage);
    const LayerMix mix = layer_mix(spec.model, range);
    const bool is_last = stage + 1 == layout.pipeline;
    double bytes = mix.dense * weights.dense_layer.bytes() + mix.moe * weights.moe_layer.bytes();
    if (stage == 0) bytes += weights.embedding_bytes;
    if (is_last) bytes += weights.head.bytes();
    if (is_last && stage > 0 && shares_embedding(pass.model)) bytes += weights.embedding_bytes;
    if (bytes > result.weight_bytes) {
      result.weight_bytes = bytes;
      layers = mix;
    }
  }
  const double numbers = cache_numbers(spec.model, layout.tensor);
  const double token_bytes = numbers * format_bytes_of(serving.cache_format);
  const double kept =
      kept_tokens(spec.model, double{1} * serving.prompt_tokens + serving.output_tokens);
  result.cache_bytes_per_request = kept * token_bytes * first.size();
  result.cache_bytes_per_token =
      cache_numbers(spec.model, 1) * format_bytes_of(serving.cache_format) * spec.model.num_layers;
  // Residual stream, a branch's input and output, and the widest inner activations, in bf16.
  const spec::ModelConfig& m = spec.model;
  const double inner = std::max(double{1} * m.ffn_hidden_size / layout.tensor,
                                m.experts_per_token() * m.moe_ffn_hidden_size);
  result.workspace_bytes =
      2.0 * serving.prompt_tokens * (3.0 * m.hidden_size + (m.gated() ? 3 : 2) * inner);

  const double left = result.capacity_bytes - result.weight_bytes - result.workspace_bytes;
  const auto copies = static_cast<double>(layout.copies());
  result.max_requests = std::min(
      std::floor(std::max(0.0, left) / result.cache_bytes_per_request) * copies, kMostRequests);
  result.fits = left >= 0 && result.max_requests >= 1;
  if (result.fits) {
    result.requests = serving.max_requests > 0
                          ? std::min<double>(serving.max_requests, result.max_requests)
                          : result.max_requests;
    // As many groups of requests as stages are in flight.
    const double batch = std::ceil(result.requests / copies / layout.pipeline);
    add_prefill(spec, layout, layers, figures);
    add_decode(spec, layout, layers, weights, static_cast<int>(batch), figures);
    result.first_token_s = layout.pipeline * figures.prefill_s();
    result.prompt_tokens_per_s = copies * serving.prompt_tokens / figures.prefill_s();
    result.token_s = layout.pipeline * figures.decode_s();
    result.output_tokens_per_s = result.requests / result.token_s;
    result.requests_per_s = 1 / (serving.prompt_tokens / result.prompt_tokens_per_s +
                                 serving.output_tokens / result.output_tokens_per_s);
    add_money(spec, result);
  }
  result.terms = inference_terms(spec, result, figures);
  return result;
}

}  // namespace tera::plan
