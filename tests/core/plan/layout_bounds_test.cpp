#include "core/plan/layout_bounds.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "core/plan/estimate.h"
#include "core/plan/layout_figures.h"
#include "core/plan/layout_text.h"
#include "tests/core/plan/plan_specs.h"

namespace tera::plan {
namespace {

void expect_below(const LayoutBound& bound, const Estimate& whole, const spec::RunSpec& spec) {
  const std::string text = layout_text(spec.layout);
  EXPECT_LE(bound.step_s, whole.step_s) << text;
  EXPECT_LE(bound.memory_bytes, whole.worst_bytes) << text;
  EXPECT_GT(bound.memory_bytes, whole.worst_bytes * (1 - 1e-9)) << text;
  EXPECT_LE(bound.host_bytes, whole.host_bytes) << text;
  EXPECT_GE(bound.host_bytes, whole.host_bytes * (1 - 1e-9)) << text;
  EXPECT_LE(bound.nvme_bytes, whole.nvme_bytes) << text;
}

struct Checked {
  int staying = 0;
  int offloaded = 0;
  int left_out = 0;  // ways to offload that another beats
  double tightness = 0;
};

// Of the layout that is visited: figures equal estimate()'s to the bit, bounds are not above; ways
// to offload that are not visited are beaten by one that is.
void check_layout(const SearchSpace& space,
                  LayoutBounds& bounds,
                  spec::RunSpec& spec,
                  const LayoutBound& staying,
                  const LayoutBound& offloaded,
                  Checked& checked) {
  ASSERT_TRUE(space.contains(spec.layout));
  const auto figures = layout_figures(spec);
  const auto whole = estimate(spec);
  ASSERT_TRUE(figures && whole) << layout_text(spec.layout);
  EXPECT_EQ(figures->step_s, whole->step_s);
  EXPECT_EQ(figures->memory_bytes, whole->worst_bytes);
  expect_below(staying, *whole, spec);
  checked.tightness += staying.step_s / figures->step_s;
  ++checked.staying;
  std::vector<std::pair<spec::Offload, Estimate>> visited;
  bounds.visit_offloads([&](const spec::ParallelLayout& layout, const LayoutBound& bound) {
    spec.layout = layout;
    const auto way = estimate(spec);
    ASSERT_TRUE(way) << way.error().message;
    expect_below(bound, *way, spec);
    EXPECT_EQ(layout_figures(spec)->host_bytes, way->host_bytes);
    EXPECT_LE(offloaded.step_s, way->step_s);
    EXPECT_LE(offloaded.memory_bytes, way->worst_bytes);
    visited.emplace_back(layout.offload, *way);
    ++checked.offloaded;
  });
  for (const spec::Offload& offload : space.offloads()) {
    const auto same = [&](const auto& one) { return one.first == offload; };
    if (!offload.any() || std::any_of(visited.begin(), visited.end(), same)) continue;
    spec.layout.offload = offload;
    const auto way = estimate(spec);
    ASSERT_TRUE(way) << way.error().message;
    EXPECT_TRUE(std::any_of(visited.begin(), visited.end(), [&](const auto& one) {
      return one.second.fits >= way->fits && one.second.step_s <= way->step_s &&
             one.second.worst_bytes <= way->worst_bytes;
    })) << layout_text(spec.layout);
    ++checked.left_out;
  }
}

// Every so many layouts of a space.
Checked check_some(const spec::RunSpec& base, int stride, const FixedAxes& fixed = {}) {
  const SearchSpace space(base, fixed);
  LayoutBounds bounds(space);
  spec::RunSpec spec = base;
  std::int64_t count = 0;
  Checked checked;
  for (const LayoutFamily& family : layout_families(space)) {
    bounds.visit(family, [&](const spec::ParallelLayout& layout, const LayoutBound& staying,
                             const LayoutBound& offloaded) {
      if (count++ % stride != 0) return;
      spec.layout = layout;
      check_layout(space, bounds, spec, staying, offloaded, checked);
    });
  }
  EXPECT_EQ(count, space.num_layouts());
  return checked;
}

void expect_sound(const spec::RunSpec& base, int stride) {
  const Checked checked = check_some(base, stride);
  ASSERT_GT(checked.staying, 30);
  EXPECT_GT(checked.tightness / checked.staying, 0.9);
  EXPECT_GE(checked.offloaded, checked.staying * 15) << "what moves, to the host";
  EXPECT_GT(checked.left_out, 0);
}

TEST(LayoutBounds, AreNotAboveTheEstimateOfExperts) {
  spec::RunSpec spec = run_spec("mixtral-8x7b");
  spec.cluster.num_nodes = 4;
  spec.training.global_batch_size = 64;
  expect_sound(spec, 19973);
}

TEST(LayoutBounds, AreNotAboveTheEstimateOfManyKindsOfLayers) {
  spec::RunSpec spec = run_spec("deepseek-v3");
  spec.cluster.num_nodes = 8;
  spec.training.global_batch_size = 96;
  expect_sound(spec, 99991);
}

TEST(LayoutBounds, AreNotAboveTheEstimateOfADenseModel) {
  spec::RunSpec spec = run_spec("gpt2-124m");
  spec.cluster = run_spec("moe-1t").cluster;
  spec.cluster.num_nodes = 3;
  spec.training.global_batch_size = 48;
  expect_sound(spec, 997);
}

// What other frameworks keep and wait for.
TEST(LayoutBounds, AreNotAboveTheEstimateOfOtherSoftware) {
  spec::RunSpec spec = run_spec("gpt2-124m");
  spec.cluster = run_spec("moe-1t").cluster;
  spec.cluster.num_nodes = 2;
  spec.training.global_batch_size = 32;
  for (const spec::Framework framework :
       {spec::Framework::megatron_lm, spec::Framework::deepspeed, spec::Framework::torchtitan}) {
    spec.software.framework = framework;
    for (const bool fused : {false, true}) {
      spec.software.fused_attention = spec.software.compiled = fused;
      EXPECT_GT(check_some(spec, 2999).staying, 4);
    }
  }
}

// Exchanges beside other micro-batches: by schedule and number of them, and more of it in pairs.
TEST(LayoutBounds, AreNotAboveTheEstimateOfExpertsBesideOtherWork) {
  spec::RunSpec spec = run_spec("deepseek-v3");
  spec.cluster.num_nodes = 4;
  spec.training.global_batch_size = 64;
  spec.software.expert_overlap = true;
  for (const spec::Framework framework : {spec::Framework::teragpt, spec::Framework::megatron_lm}) {
    spec.software.framework = framework;
    EXPECT_GT(check_some(spec, 99991).staying, 10);
  }
}

// Shards of a copy are larger, and reach less far; tokens of all ranks are more than rows.
TEST(LayoutBounds, AreNotAboveTheEstimateOfWhatIsNotSearched) {
  spec::RunSpec spec = run_spec("mixtral-8x7b");
  spec.cluster.num_nodes = 4;
  spec.training.global_batch_size = 64;
  spec.layout.zero_replicas = 4;
  EXPECT_GT(check_some(spec, 14983).staying, 10);
  spec.layout.expert_dispatcher = spec::ExpertDispatcher::all_gather;
  EXPECT_GT(check_some(spec, 19997).staying, 10);
}

// A host with little memory: what goes to disks may matter.
TEST(LayoutBounds, LeaveOutOnlyWaysToOffloadThatAnotherBeats) {
  spec::RunSpec spec = run_spec("mixtral-8x7b");
  spec.cluster.num_nodes = 1;
  spec.training.global_batch_size = 32;
  for (const double host_bytes : {50e9, 300e9, 2e12}) {
    spec.cluster.host.memory_bytes = host_bytes;
    const Checked checked = check_some(spec, 19997);
    EXPECT_GT(checked.left_out, 0);
    EXPECT_GT(checked.offloaded, 0);
  }
}

}  // namespace
}  // namespace tera::plan
