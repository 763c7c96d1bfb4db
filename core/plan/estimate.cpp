#include "core/plan/estimate.h"

#include <algorithm>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "core/base/check.h"
#include "core/base/units.h"
#include "core/plan/adapter_table.h"
#include "core/plan/attention_cost.h"
#include "core/plan/layer_cost.h"
#include "core/plan/memory_fit.h"
#include "core/plan/optimizer_state.h"
#include "core/plan/param_buckets.h"
#include "core/plan/placement.h"
#include "core/plan/schedule_check.h"
#include "core/plan/schedule_file.h"
#include "core/plan/stash_table.h"
#include "core/plan/time_model.h"
#include "core/spec/validate.h"

namespace tera::plan {
namespace {

using spec::RunSpec;

Error first_error(const std::vector<Diagnostic>& diagnostics) {
  const auto is_error = [](const Diagnostic& d) { return d.severity == Severity::error; };
  const auto first = std::find_if(diagnostics.begin(), diagnostics.end(), is_error);
  const auto count = std::count_if(first, diagnostics.end(), is_error);
  std::string message = fmt::format("{}: {}", first->field, first->message);
  if (count > 1)
    message += fmt::format(" (and {} more problem{})", count - 1, count == 2 ? "" : "s");
  return {ErrorCode::invalid_input, std::move(message), first->hint};
}

}  // namespace

namespace {

// Parameters that a token meets in products, in training.
double params_in_products(const spec::ModelConfig& model) {
  const ParamCounts counts = count_params(model);
  // Each layer of multi-token prediction uses the head once more.
  const int more_heads = model.num_mtp_layers + (model.tie_embeddings ? 1 : 0);
  const double head = double{1} * model.vocab_size * model.hidden_size;
  return static_cast<double>(counts.active_in_training - counts.embedding) + more_heads * head;
}

// Of adapters, those a token uses.
double adapters_in_products(const RunSpec& spec) {
  double params = 0;
  for (const ParamSpec& param : make_param_table(spec)) {
    if (!param.adapts) continue;
    const double share =
        param.is_expert() ? spec.model.experts_per_token() / double{1} / spec.model.num_experts : 1;
    params += share * static_cast<double>(param.num_elements());
  }
  return params;
}

}  // namespace

double train_flops_per_token(const spec::ModelConfig& model, int seq_length) {
  // Scores and values: 2 flops x (dqk + dv) per head and token seen, three passes.
  const double dims =
      model.attention == spec::AttentionKind::latent
          ? double{1} * model.qk_nope_head_dim + model.qk_rope_head_dim + model.v_head_dim
          : 2.0 * model.head_dim;
  return 6 * params_in_products(model) + 6.0 * model.num_all_layers() * model.num_attention_heads *
                                             dims * mean_tokens_seen(model, seq_length);
}

double train_flops_per_token(const RunSpec& spec) {
  const double all = train_flops_per_token(spec.model, spec.training.seq_length);
  if (!spec.lora.enabled()) return all;
  return all - 2 * params_in_products(spec.model) + 6 * adapters_in_products(spec);
}

Result<Estimate> estimate(const RunSpec& spec, const FittedTimes& fitted) {
  std::vector<Diagnostic> found = spec::validate(spec);
  if (has_errors(found)) return tl::unexpected<Error>(first_error(found));
  if (!spec::is_described(spec.cluster)) {
    return fail(ErrorCode::invalid_input, "cluster: not described, so there is nothing to plan for",
                "add `cluster: {preset: this-machine}`");
  }
  TERA_TRY(const RankMesh mesh, RankMesh::make(spec.layout));
  Estimate result;
  result.diagnostics = std::move(found);
  result.params = count_params(spec.model);
  result.trainable_params = count_trainable(spec);
  result.train_flops_per_token = train_flops_per_token(spec);

  TERA_TRY(const PipelineSchedule schedule, load_schedule(spec));
  TERA_TRY(StepPlan step, plan_step(spec, mesh, schedule, fitted));
  result.step_time = std::move(step.step_time);
  result.step_s = step.step_s;
  result.low_s = step.low_s;
  result.high_s = step.high_s;
  const auto tokens = static_cast<double>(spec.tokens_per_step());
  const double devices = static_cast<double>(spec.layout.world_size()) / ranks_per_device(spec);
  const bool bf16 = spec.half_products();
  const double peak =
      bf16 ? spec.cluster.device.peak_flops_per_s_bf16 : spec.cluster.device.peak_flops_per_s_f32;
  if (step.step_s > 0) {
    result.tokens_per_s = tokens / step.step_s;
    result.tokens_per_s_per_device = result.tokens_per_s / devices;
    result.model_flops_utilization =
        result.tokens_per_s_per_device * result.train_flops_per_token / peak;
  }

  TERA_TRY(result.cost,
           plan_cost(spec, {.step_s = step.step_s,
                            .busy_share = step.busy_share,
                            .flops_per_token = result.train_flops_per_token,
                            .active_params = static_cast<double>(result.params.active)}));
  result.diagnostics.insert(result.diagnostics.end(), result.cost.found.begin(),
                            result.cost.found.end());

  result.stages = plan_memory(spec, mesh, schedule);
  judge_memory(spec, result);
  return result;
}

EngineBytes engine_bytes(const RunSpec& spec, int pipeline_rank) {
  const RankMesh mesh = *RankMesh::make(spec.layout);
  return engine_bytes(spec, mesh, mesh.group(0, Axis::pipeline)[pipeline_rank]);
}

EngineBytes engine_bytes(const RunSpec& spec, const RankMesh& mesh, int rank) {
  const int pipeline_rank = mesh.coordinate(rank, Axis::pipeline);
  const std::vector<StageChunk> chunks = stage_chunks(spec, pipeline_rank);
  const LocalTable table = local_table(spec, mesh, rank);
  const std::vector<ParamBucket> buckets = sharded_buckets(spec, mesh, rank, table);
  const BucketPeaks peaks = bucket_peaks(spec, table, buckets);
  EngineBytes bytes{.weights = peaks.weights, .gradients = peaks.gradients};
  std::vector<ParamSpec> owned;
  for (const LocalParam& held : table)
    owned.push_back(held.local());
  for (const ParamBucket& bucket : buckets) {
    for (const ParamBucket::Entry& entry : bucket.entries) {
      const auto [begin, end] = bucket.owned(entry);
      owned[entry.param].shape = {end - begin};
    }
  }
  for (const ParamSpec& param : owned)
    bytes.optimizer += optimizer_state_bytes(param, spec.training);
  const auto sum = [](const std::vector<StashEntry>& entries) {
    std::int64_t total = 0;
    for (const StashEntry& entry : entries)
      total += entry.num_bytes();
    return static_cast<double>(total);
  };
  std::vector<StashBytes> each;
  for (const StageChunk& chunk : chunks) {
    const auto [first, last] = chunk.layers;
    const bool head = chunk.has_head;
    each.push_back({sum(make_stash_table(spec, first, last, head)),
                    sum(make_waiting_table(spec, first, last, head))});
  }
  const Result<PipelineSchedule> schedule = load_schedule(spec);
  TERA_CHECK(schedule.has_value(), "{}", schedule.error().message);
  const std::vector<ChunkStash> peak =
      peak_stash(schedule->stages[static_cast<std::size_t>(pipeline_rank)], each);
  for (std::size_t i = 0; i < each.size(); ++i) {
    bytes.activations += peak[i].whole * static_cast<std::int64_t>(each[i].whole) +
                         peak[i].waiting * static_cast<std::int64_t>(each[i].waiting);
  }
  return bytes;
}

}  // namespace tera::plan
