#include "core/plan/origins.h"

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/plan/explained_terms.h"
#include "core/spec/yaml.h"
#include "tests/core/plan/plan_specs.h"

namespace tera::plan {
namespace {

using spec::Origin;
using testing::HasSubstr;

spec::RunSpec on_this_machine() {
  spec::RunSpec spec = run_spec("gpt2-124m");
  EXPECT_TRUE(spec::set_field(spec, "cluster.preset", "this-machine"));
  spec.layout = {};
  return spec;
}

// As if `teragpt bench device` had measured these.
Estimate tagged(const spec::RunSpec& spec, const std::vector<std::string>& measured) {
  spec::ClusterOrigins origins;
  for (const std::string& field : measured)
    origins.fields.emplace("cluster.device." + field, Origin::measured);
  Estimate e = estimate(spec).value();
  tag_origins(spec, origins, moved_estimates(spec, origins).value(), e);
  return e;
}

Origin origin_at(const Term& root, const std::string& path) {
  const Term* term = find_term(root, path);
  EXPECT_NE(term, nullptr) << path;
  return term == nullptr ? Origin::analytic : term->origin;
}

TEST(Origins, TermsMoveWithWhatTheyRestOn) {
  const spec::RunSpec spec = on_this_machine();
  const Estimate memory = tagged(spec, {"memory_efficiency"});
  EXPECT_EQ(memory.step_time.origin, Origin::measured);
  EXPECT_EQ(origin_at(memory.step_time, "optimizer"), Origin::measured);
  EXPECT_EQ(origin_at(memory.step_time, "compute/streaming operations"), Origin::measured);
  EXPECT_EQ(origin_at(memory.step_time, "compute/attention"), Origin::analytic);
  EXPECT_EQ(origin_at(memory.step_time, "compute"), Origin::measured) << "part of it";
  EXPECT_EQ(origin_at(memory.cost.terms, "usd"), Origin::analytic) << "nothing, however long";
  EXPECT_EQ(origin_at(memory.cost.terms, "time"), Origin::measured);
  EXPECT_EQ(memory.stages[0].memory.origin, Origin::analytic);
  const Estimate attention = tagged(spec, {"attention_efficiency", "f32_attention_efficiency"});
  EXPECT_EQ(origin_at(attention.step_time, "compute/attention"), Origin::measured);
  EXPECT_EQ(origin_at(attention.step_time, "optimizer"), Origin::analytic);
  EXPECT_THAT(attention.basis.text, HasSubstr("measured: the device profile"));
}

TEST(Origins, NothingMeasuredIsAnalytic) {
  const Result<Estimate> e = tagged_estimate(on_this_machine());
  ASSERT_TRUE(e);
  for (const std::string& path : term_paths(e->step_time))
    EXPECT_EQ(origin_at(e->step_time, path), Origin::analytic) << path;
  EXPECT_EQ(e->basis.origin, Origin::analytic);
  EXPECT_FALSE(e->basis.left_out_error);
  EXPECT_THAT(e->step_time.source, HasSubstr("`teragpt bench device` measures it"));
}

TEST(Origins, PresetsRestOnFittedValues) {
  const spec::RunSpec spec = run_spec("moe-1t");
  const Result<Estimate> e = tagged_estimate(spec);
  ASSERT_TRUE(e);
  EXPECT_EQ(e->step_s, estimate(spec)->step_s) << "the plan itself did not move";
  EXPECT_EQ(origin_at(e->step_time, "compute/dense products"), Origin::calibrated);
  EXPECT_EQ(origin_at(e->cost.terms, "device hours"), Origin::calibrated);
  EXPECT_EQ(origin_at(e->cost.terms, "training compute"), Origin::analytic);
  const Term terms = explained_terms(spec, *e);
  EXPECT_EQ(origin_at(terms, "model/total parameters"), Origin::analytic);
  EXPECT_EQ(origin_at(terms, "memory/weights"), Origin::analytic);
}

TEST(Origins, MemoryOfOtherSoftwareHasAFittedShare) {
  spec::RunSpec spec = run_spec("moe-1t");
  EXPECT_EQ(tagged_estimate(spec)->stages[0].memory.origin, Origin::analytic);
  spec.software.framework = spec::Framework::megatron_lm;
  const Result<Estimate> e = tagged_estimate(spec);
  ASSERT_TRUE(e);
  EXPECT_EQ(origin_at(e->stages[0].memory, "fragmentation"), Origin::calibrated);
  EXPECT_EQ(origin_at(e->stages[0].memory, "weights"), Origin::analytic);
  EXPECT_EQ(e->stages[0].memory.origin, Origin::calibrated);
}

// A constant that counts as fitted and that nothing moves with would be tagged analytic.
TEST(Origins, EveryFittedInputMoves) {
  const spec::RunSpec spec = run_spec("moe-1t");
  const spec::ClusterOrigins origins = spec::cluster_origins(spec.cluster);
  ASSERT_GE(origins.fields.size(), 5U);
  const Inputs moved = moved_inputs(spec, origins, Origin::calibrated);
  for (const auto& [path, origin] : origins.fields)
    EXPECT_NE(spec::get_field(moved.spec, path).value(), spec::get_field(spec, path).value())
        << path;
  const FittedTimes in_use;
  for (const FittedTime& time : kFittedTimes)
    EXPECT_NE(moved.fitted.*time.value, in_use.*time.value) << time.constant->name;
  EXPECT_EQ(moved_inputs(spec, origins, Origin::measured).spec, spec);
  EXPECT_EQ(moved_inputs(spec, origins, Origin::measured).fitted, in_use);
}

TEST(Origins, OfANumber) {
  EXPECT_EQ(origin_of(2, 2, 2), Origin::analytic);
  EXPECT_EQ(origin_of(2, 2.001, 2), Origin::measured);
  EXPECT_EQ(origin_of(2, 2.001, 1.999), Origin::calibrated) << "some of it was assumed";
  EXPECT_EQ(origin_of(0, 1e-17, 1e-16), Origin::analytic) << "what rounding leaves";
  EXPECT_EQ(origin_of(2, std::nan(""), 2), Origin::measured) << "a term that is gone";
}

TEST(Origins, OfServing) {
  const spec::RunSpec spec = run_spec("mixtral-8x7b");
  Result<InferenceEstimate> e = plan_inference(spec);
  ASSERT_TRUE(e);
  const Result<MovedInference> moved = moved_inference(spec, e->layout);
  ASSERT_TRUE(moved);
  tag_origins(*moved, *e);
  EXPECT_EQ(origin_at(e->terms, "next token"), Origin::calibrated);
  EXPECT_EQ(origin_at(e->terms, "serving memory"), Origin::analytic);
}

// Own runs change the figures of the device (core/spec/own_runs.h), and a step with them.
TEST(Origins, FiguresSlowedDownMakeAStepThatMuchLonger) {
  for (const char* precision : {"fp32", "bf16"}) {
    for (const int replicas : {1, 2}) {
      spec::RunSpec spec = on_this_machine();
      ASSERT_TRUE(spec::set_field(spec, "training.precision", precision));
      spec.layout.data_parallel_size = replicas;
      const Estimate before = estimate(spec).value();
      for (const double factor : {1.25, 0.4}) {
        spec::RunSpec slower = spec;
        slow_down(slower.cluster, factor);
        const Result<Estimate> after = estimate(slower);
        ASSERT_TRUE(after) << after.error().message;
        EXPECT_NEAR(after->step_s / before.step_s, factor, 1e-9) << precision << " " << replicas;
        EXPECT_EQ(after->worst_bytes, before.worst_bytes);
      }
    }
  }
}

}  // namespace
}  // namespace tera::plan
