#include "core/plan/inference_terms.h"

#include <string>
#include <utility>

#include <fmt/format.h>

#include "core/base/units.h"
#include "core/plan/param_table.h"

namespace tera::plan {
namespace {

Term memory_term(const spec::RunSpec& spec, const InferenceEstimate& e) {
  const spec::InferenceConfig& serving = spec.inference;
  const double copies = static_cast<double>(e.layout.copies());
  const double in_copy = e.requests / copies;
  Term term = sum_term(
      "serving memory", "B",
      {leaf_term("served weights", e.weight_bytes, "B",
                 fmt::format("{} parameters in {}; attention / {}, experts / {}, layers / {}",
                             format_count(static_cast<double>(count_params(spec.model).total)),
                             enum_name(serving.weight_format), e.layout.tensor,
                             e.layout.stage_devices(), e.layout.pipeline),
                 "core/plan/param_table.h; norms, embeddings and routers are not fp8"),
       leaf_term(
           "key-value cache", in_copy * e.cache_bytes_per_request, "B",
           fmt::format("{:.0f} requests x {}", in_copy, format_bytes(e.cache_bytes_per_request)),
           spec.model.attention == spec::AttentionKind::latent
               ? "DeepSeek-AI 2024, DeepSeek-V2, section 2.1.2: latent vector and rotary key"
               : "keys and values of the heads on the device; Ainslie et al. 2023"),
       leaf_term("prompt workspace", e.workspace_bytes, "B",
                 fmt::format("{} tokens x 2 B x (3 hidden + inner)", serving.prompt_tokens),
                 "assumption: one prompt read in one piece")});
  term.source = fmt::format("the fullest stage; {} of a device", format_bytes(e.capacity_bytes));
  return term;
}

Term prefill_term(const spec::RunSpec& spec,
                  const InferenceEstimate& e,
                  const InferenceFigures& f) {
  const double stages = e.layout.pipeline;
  Term term = sum_term(
      "first token", "s",
      {leaf_term(
           "prompt products", stages * f.prefill_compute_s, "s",
           fmt::format("{} stages x {}", e.layout.pipeline, format_seconds(f.prefill_compute_s)),
           "forward pass of training: roofline of each product, attention, streaming"),
       leaf_term(
           "prompt messages", stages * f.prefill_messages_s, "s",
           fmt::format("{} stages x {}", e.layout.pipeline, format_seconds(f.prefill_messages_s)),
           "all-reduce of tensor ranks, all-to-all of experts, sends between stages")});
  term.source = fmt::format("one prompt of {} tokens in each of {} copies, nothing before it",
                            spec.inference.prompt_tokens, e.layout.copies());
  return term;
}

Term decode_term(const InferenceEstimate& e, const InferenceFigures& f) {
  const double stages = e.layout.pipeline;
  Term term = sum_term(
      "next token", "s",
      {leaf_term(
           "weights", stages * f.products_s, "s",
           fmt::format("{} stages x {} read, {} of the experts of a layer", e.layout.pipeline,
                       format_bytes(f.weights_read), format_percent(f.touched_experts)),
           "roofline: max(bytes / reached bandwidth, flops / reached peak); experts touched: 1 - "
           "(1 - K / E)^tokens"),
       leaf_term(
           "attention to cache", stages * f.attention_s, "s",
           fmt::format("{} stages x {} read, {:.0f} tokens seen", e.layout.pipeline,
                       format_bytes(f.cache_read), f.context),
           "roofline of cache bytes and score flops; half of the output is written on average"),
       leaf_term("starts of operations", stages * f.overhead_s, "s",
                 fmt::format("{} stages x {}", e.layout.pipeline, format_seconds(f.overhead_s)),
                 "operations of a forward pass x cluster.device.op_overhead_s"),
       leaf_term("token messages", stages * f.messages_s, "s",
                 fmt::format("{} stages x {}", e.layout.pipeline, format_seconds(f.messages_s)),
                 "all-reduce of tensor ranks, all-to-all of experts, sends between stages")});
  term.source = fmt::format("{:.0f} requests at once", e.requests);
  return term;
}

Term money_term(const spec::RunSpec& spec, const InferenceEstimate& e) {
  const spec::InferenceConfig& serving = spec.inference;
  const std::string devices =
      fmt::format("{} devices x {:.3g} USD/h", e.layout.devices(), e.usd_per_device_hour);
  Term term =
      leaf_term("usd per million tokens", e.usd_per_m_tokens, "USD",
                fmt::format("{} / ({:.3g} requests/s x {} tokens)", devices, e.requests_per_s,
                            serving.prompt_tokens + serving.output_tokens),
                "prompts and output by turns on the same devices, always busy");
  term.children = {
      leaf_term("usd per million prompt tokens", e.usd_per_m_prompt_tokens, "USD",
                fmt::format("{} / {} tokens/s", devices, format_count(e.prompt_tokens_per_s)),
                "while prompts are read"),
      leaf_term("usd per million output tokens", e.usd_per_m_output_tokens, "USD",
                fmt::format("{} / {} tokens/s", devices, format_count(e.output_tokens_per_s)),
                "while tokens are written")};
  return term;
}

}  // namespace

Term inference_terms(const spec::RunSpec& spec,
                     const InferenceEstimate& estimate,
                     const InferenceFigures& figures) {
  Term root =
      leaf_term("inference", static_cast<double>(estimate.layout.devices()), "devices",
                fmt::format("max(tensor {}, expert {}) x pipeline {}", estimate.layout.tensor,
                            estimate.layout.expert, estimate.layout.pipeline),
                "one replica");
  root.children.push_back(memory_term(spec, estimate));
  if (!estimate.fits) return root;
  root.children.push_back(prefill_term(spec, estimate, figures));
  root.children.push_back(decode_term(estimate, figures));
  root.children.push_back(money_term(spec, estimate));
  return root;
}

}  // namespace tera::plan
