#include "core/plan/time_model.h"

#include <cmath>
#include <functional>

#include <gtest/gtest.h>

#include "core/plan/attention_cost.h"
#include "core/plan/estimate.h"
#include "core/plan/layer_cost.h"
#include "core/plan/stage_times.h"
#include "core/plan/step_seconds.h"
#include "tests/core/plan/plan_specs.h"

namespace tera::plan {
namespace {

TEST(TimeModel, TheBubbleIsThePlayedOne) {
  spec::RunSpec spec = run_spec("moe-1t");
  const RankMesh mesh = *RankMesh::make(spec.layout);
  const auto total = [](const Term& time) {
    return find_term(time, "compute")->value + find_term(time, "bubble")->value +
           find_term(time, "communication")->value;
  };
  struct Case {
    spec::ScheduleKind kind;
    int chunks;
  };
  for (const Case& c :
       {Case{spec::ScheduleKind::gpipe, 1}, Case{spec::ScheduleKind::one_f_one_b, 1},
        Case{spec::ScheduleKind::zb_h1, 1}}) {
    spec.layout.schedule = c.kind;
    const PipelineSchedule schedule = make_schedule(spec);
    const auto e = estimate(spec);
    ASSERT_TRUE(e) << e.error().message;
    const auto played = play(schedule, schedule_times(spec, mesh));
    const Term* data = find_term(e->step_time, "communication/data parallel");
    EXPECT_NEAR(total(e->step_time) - (data != nullptr ? data->value : 0), played->step_s,
                1e-9 * played->step_s)
        << enum_name(c.kind);
  }
}

// The numbers that a search compares are those of the tree, to the last bit.
TEST(StepSeconds, AreTheTermsOfTheTree) {
  for (const char* preset : {"moe-1t", "deepseek-v3", "gpt2-124m"}) {
    for (const int zero_stage : {0, 1, 3}) {
      spec::RunSpec spec = run_spec(preset);
      spec.layout.zero_stage = zero_stage;
      const RankMesh mesh = *RankMesh::make(spec.layout);
      const LayerCost cost(spec, mesh);
      const StageTimes times = stage_times(spec, mesh, cost);
      const PipelineSchedule schedule = make_schedule(spec);
      const auto played = play_pipeline(schedule, times.schedule);
      ASSERT_TRUE(played) << played.error().message;
      const StepSeconds step = step_seconds(spec, mesh, cost, times.busiest, *played);
      const auto plan = plan_step(spec, mesh, schedule);
      ASSERT_TRUE(plan) << plan.error().message;
      EXPECT_EQ(step.total_s(), plan->step_s) << preset;
      EXPECT_EQ(plan->step_s, plan->step_time.value) << preset;
      EXPECT_EQ(step.compute_s(), find_term(plan->step_time, "compute")->value) << preset;
      EXPECT_EQ(step.communication_s(), find_term(plan->step_time, "communication")->value);
      EXPECT_GT(step.optimizer_s, 0);
    }
  }
}

GradientSync sync_of(const spec::RunSpec& spec) {
  const RankMesh mesh = *RankMesh::make(spec.layout);
  const LayerCost cost(spec, mesh);
  const StageTimes times = stage_times(spec, mesh, cost);
  const auto played = play_pipeline(make_schedule(spec), times.schedule);
  EXPECT_TRUE(played) << played.error().message;
  return step_seconds(spec, mesh, cost, times.busiest, *played).sync;
}

// TeraGPT: once a step, whatever is shared out. Others: from stage 2 on after every micro-batch.
TEST(StepSeconds, GradientsTravelAsOftenAsTheSoftwareSendsThem) {
  spec::RunSpec spec = run_spec("tiny-moe");
  spec.cluster.intra_node.latency_s = spec.cluster.inter_node.latency_s = 0;
  spec.layout.data_parallel_size = 2;
  spec.layout.micro_batch_size = 1;
  const auto times = [&spec] {
    spec.layout.zero_stage = 1;
    const double once = sync_of(spec).gradients_s;
    spec.layout.zero_stage = 2;
    return sync_of(spec).gradients_s / once;
  };
  EXPECT_NEAR(times(), 1, 1e-9);
  spec.software.framework = spec::Framework::megatron_lm;
  EXPECT_NEAR(times(), static_cast<double>(spec.num_micro_batches()), 1e-9);
}

// Of 8 devices each.
spec::RunSpec dense_on_four_nodes() {
  spec::RunSpec spec = run_spec("gpt-neox-20b");
  EXPECT_EQ(spec.model.num_experts, 0);
  spec.software = {};
  spec.cluster.num_nodes = 4;
  spec.cluster.devices_per_node = 8;
  spec.layout = {};
  return spec;
}

// Nodes of 8 hold a copy each: weights stay within a node, and an eighth of the gradients leaves
// it, to be summed and to come back.
TEST(StepSeconds, CopiesKeepWeightsWithinANode) {
  spec::RunSpec spec = dense_on_four_nodes();
  spec.layout.data_parallel_size = 32;
  spec.layout.zero_stage = 3;
  spec.cluster.intra_node.latency_s = spec.cluster.inter_node.latency_s = 0;
  const spec::LinkSpec network = spec.cluster.inter_node;
  const double network_rate = network.bytes_per_s * network.efficiency;
  spec.cluster.intra_node.bytes_per_s = 1e30;  // nothing within a node takes time
  const GradientSync flat = sync_of(spec);
  spec.layout.zero_replicas = 4;
  const GradientSync copies = sync_of(spec);
  EXPECT_GT(flat.weights_s, 0);
  EXPECT_NEAR(copies.weights_s / flat.weights_s, 0, 1e-6);
  const double gradients = 4 * static_cast<double>(count_params(spec.model).total);
  EXPECT_NEAR(copies.gradients_s, 2 * (gradients / 8) * 3 / 4 / network_rate,
              1e-6 * copies.gradients_s);
  spec.layout.zero_replicas = 32;  // of a rank each: as if nothing were sharded
  const GradientSync alone = sync_of(spec);
  spec.layout.zero_replicas = 1;
  spec.layout.zero_stage = 0;
  EXPECT_EQ(alone.gradients_s, sync_of(spec).gradients_s);
  EXPECT_EQ(alone.weights_s, 0);
}

// Where experts would have replicas, a dense model has nobody to talk to.
TEST(StepSeconds, ADenseModelWaitsForNoReplicasOfExperts) {
  spec::RunSpec spec = dense_on_four_nodes();
  spec.layout.tensor_parallel_size = 8;
  spec.layout.data_parallel_size = 4;
  const GradientSync whole = sync_of(spec);
  EXPECT_GT(whole.gradients_s, 0);
  spec.layout.zero_stage = 3;
  spec.layout.zero_replicas = 4;  // of a rank each
  EXPECT_EQ(sync_of(spec).gradients_s, whole.gradients_s);
  EXPECT_EQ(sync_of(spec).weights_s, 0);
  spec.cluster.num_nodes = 1;
  spec.layout = {};
  spec.layout.tensor_parallel_size = 8;
  EXPECT_EQ(sync_of(spec).gradients_s, 0);
}

TEST(StepSeconds, GradientsTravelInTheNumbersInWhichTheyAreSummed) {
  spec::RunSpec spec = run_spec("gpt-neox-20b");
  ASSERT_EQ(spec.software.framework, spec::Framework::deepspeed);
  spec.cluster.intra_node.latency_s = spec.cluster.inter_node.latency_s = 0;
  spec.cluster.device.is_cpu = true;  // rings without pieces
  spec.training.precision = spec::Precision::bf16;
  const double in_f32 = sync_of(spec).gradients_s;
  spec.training.precision = spec::Precision::fp16;
  EXPECT_NEAR(sync_of(spec).gradients_s / in_f32, 0.5, 1e-9);
}

// Of each gradient of a micro-batch 2 B are read and written; for sums in f32 2 B read, 4 written.
TEST(StepSeconds, FsdpCopiesGradientsIntoTheirMessage) {
  spec::RunSpec spec = run_spec("moe-1t");
  spec.software.framework = spec::Framework::torchtitan;
  spec.layout.zero_stage = 3;
  const double in_f32 = sync_of(spec).copies_s;
  EXPECT_GT(in_f32, 0);
  spec.training.gradient_precision = spec::GradientPrecision::bf16;
  EXPECT_NEAR(sync_of(spec).copies_s / in_f32, 4.0 / 10, 1e-9);
  spec.layout.zero_stage = 1;
  EXPECT_EQ(sync_of(spec).copies_s, 0);
}

TEST(TimeModel, SchedulesAreFasterInTheOrderTheyWerePublished) {
  spec::RunSpec spec = run_spec("moe-1t");
  spec.model.num_layers = 64;
  spec.layout.pipeline_parallel_size = 16;
  spec.layout.data_parallel_size *= 2;
  spec.cluster.inter_node.latency_s = 0;
  const auto bubble = [&spec](spec::ScheduleKind kind, int chunks) {
    spec.layout.schedule = kind;
    spec.layout.virtual_stages = chunks;
    const auto e = estimate(spec);
    EXPECT_TRUE(e) << e.error().message;
    return find_term(e->step_time, "bubble")->value;
  };
  const double one = bubble(spec::ScheduleKind::one_f_one_b, 1);
  const double interleaved = bubble(spec::ScheduleKind::interleaved, 2);
  EXPECT_NEAR(bubble(spec::ScheduleKind::gpipe, 1) / one, 1, 0.05);
  EXPECT_LT(interleaved, 0.7 * one);
  EXPECT_LT(bubble(spec::ScheduleKind::zb_h1, 1), 0.8 * one);
  EXPECT_LT(bubble(spec::ScheduleKind::zb_v, 2), interleaved);
  EXPECT_LT(bubble(spec::ScheduleKind::dualpipe_v, 2), one);
}

TEST(TimeModel, ProductsCostTheirFlopsOnABigDevice) {
  // Without attention, streaming, links, overheads and tiles the step is 6 P T / (peak x
  // efficiency).
  spec::RunSpec spec = run_spec("mixtral-8x7b");
  spec.layout = {};
  spec.layout.micro_batch_size = 64;
  spec.training.global_batch_size = 64;
  spec.cluster.num_nodes = spec.cluster.devices_per_node = 1;
  spec.cluster.device.memory_bytes_per_s = 1e18;
  spec.cluster.device.op_overhead_s = 0;
  spec.cluster.device.num_multiprocessors = 0;
  spec.cluster.device.memory_bytes = 1e15;
  for (const int predictions : {0, 2}) {  // layers that each use the head once more
    spec.model.num_mtp_layers = predictions;
    const auto e = estimate(spec);
    ASSERT_TRUE(e) << e.error().message;
    double products = 0;
    for (const char* label :
         {"compute/dense products", "compute/expert products", "compute/head and loss"}) {
      products += find_term(e->step_time, label)->value;
    }
    const ParamCounts counts = count_params(spec.model);
    const double heads = double{1} * predictions * spec.model.vocab_size * spec.model.hidden_size;
    const auto used =
        static_cast<double>(counts.active_in_training - counts.embedding - counts.norms);
    const double flops = 6.0 * (used + heads) * static_cast<double>(spec.tokens_per_step());
    EXPECT_NEAR(products * spec.cluster.device.peak_flops_per_s_bf16 *
                    spec.cluster.device.matmul_efficiency / flops,
                1, 1e-4);
  }
}

TEST(TimeModel, ChildrenAddUpAndTheRangeHoldsTheEstimate) {
  const auto names = spec::run_preset_names();
  ASSERT_TRUE(names);
  for (const std::string& name : *names) {
    const auto e = estimate(run_spec(name));
    ASSERT_TRUE(e) << e.error().message;
    std::function<void(const Term&)> check = [&](const Term& term) {
      EXPECT_TRUE(std::isfinite(term.value) && term.value >= 0) << name << ": " << term.label;
      if (term.children.empty()) return;
      double sum = 0;
      for (const Term& child : term.children) {
        check(child);
        sum += child.value;
      }
      EXPECT_NEAR(sum, term.value, 1e-9 * term.value) << name << ": " << term.label;
    };
    check(e->step_time);
    for (const StageMemory& stage : e->stages)
      check(stage.memory);
    EXPECT_LT(e->low_s, e->step_s) << name;
    EXPECT_GT(e->high_s, e->step_s) << name;
  }
}

TEST(TimeModel, AWindowLeavesFewerTokensToSee) {
  spec::ModelConfig model = model_config("mixtral-8x7b");
  EXPECT_EQ(mean_tokens_seen(model, 8192), 4096);
  model.sliding_window = 4096;  // the first 4,096 see half of it on average, the others all of it
  EXPECT_EQ(mean_tokens_seen(model, 8192), (2048.0 + 4096) / 2);
  EXPECT_EQ(mean_tokens_seen(model, 2048), 1024);
  spec::RunSpec spec = run_spec("mixtral-8x7b");
  spec.training.seq_length = 8192;
  const double all = find_term(estimate(spec)->step_time, "compute/attention")->value;
  const double flops = train_flops_per_token(spec.model, 8192);
  spec.model.sliding_window = 4096;
  EXPECT_NEAR(find_term(estimate(spec)->step_time, "compute/attention")->value, 0.75 * all,
              1e-9 * all);
  EXPECT_LT(train_flops_per_token(spec.model, 8192), flops);
}

TEST(TimeModel, MoreNormsStreamMore) {
  spec::RunSpec spec = run_spec("tiny-moe");
  const auto streaming = [&spec] {
    return find_term(estimate(spec)->step_time, "compute/streaming operations")->value;
  };
  const double pre = streaming();
  spec.model.norm_placement = spec::NormPlacement::post;
  const double post = streaming();
  spec.model.norm_placement = spec::NormPlacement::sandwich;
  EXPECT_LT(pre, post);
  EXPECT_LT(post, streaming());
}

TEST(TimeModel, RecomputeAndSlowLinksCostTime) {
  const spec::RunSpec base = run_spec("moe-1t");
  const double before = estimate(base)->step_s;
  spec::RunSpec full = base;
  full.layout.recompute = spec::RecomputeKind::full;
  EXPECT_GT(estimate(full)->step_s, before * 1.1);
  spec::RunSpec slow = base;
  slow.cluster.inter_node.bytes_per_s /= 10;
  EXPECT_GT(estimate(slow)->step_s, before);
  spec::RunSpec spread = base;  // experts across nodes instead of inside one
  spread.layout.expert_parallel_size = 64;
  EXPECT_GT(find_term(estimate(spread)->step_time, "communication/expert parallel")->value,
            3 * find_term(estimate(base)->step_time, "communication/expert parallel")->value);
}

TEST(TimeModel, RanksThatShareAProcessorShareItsSpeed) {
  spec::RunSpec spec = run_spec("tiny-moe");
  const double one = find_term(estimate(spec)->step_time, "compute/dense products")->value;
  spec.layout.data_parallel_size = 2;
  spec.layout.micro_batch_size = 4;
  const double two = find_term(estimate(spec)->step_time, "compute/dense products")->value;
  EXPECT_NEAR(two / one, 1, 0.2);  // half the tokens at half the speed
  EXPECT_GT(find_term(estimate(spec)->step_time, "communication/data parallel")->value, 0);
}

}  // namespace
}  // namespace tera::plan
