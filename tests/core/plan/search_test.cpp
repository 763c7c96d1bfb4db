#include "core/plan/search.h"

#include <algorithm>
#include <map>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/plan/estimate.h"
#include "core/plan/layout_bounds.h"
#include "core/plan/layout_difference.h"
#include "core/plan/layout_text.h"
#include "tests/core/plan/plan_specs.h"

namespace tera::plan {
namespace {

const std::atomic<int> kGoOn = 0;

spec::RunSpec small(const char* preset, int devices, int batch) {
  spec::RunSpec spec = run_spec(preset);
  spec.cluster = run_spec("moe-1t").cluster;
  spec.cluster.num_nodes = devices > 8 ? devices / 8 : 1;
  spec.cluster.devices_per_node = std::min(devices, 8);
  spec.training.global_batch_size = batch;
  return spec;
}

SearchResult search(const spec::RunSpec& spec, const SearchOptions& options, int threads = 2) {
  ThreadPool pool(threads);
  auto found = search_layouts(spec, options, {.pool = pool, .stop = kGoOn, .report = {}});
  EXPECT_TRUE(found) << found.error().message;
  return found ? std::move(*found) : SearchResult{};
}

std::string error_of(const spec::RunSpec& spec, const SearchOptions& options) {
  ThreadPool pool(1);
  const auto found = search_layouts(spec, options, {.pool = pool, .stop = kGoOn, .report = {}});
  return found ? "found" : found.error().message + " | " + found.error().hint;
}

struct Tried {
  spec::ParallelLayout layout;
  double step_s = 0;
  double memory_bytes = 0;
};

// estimate() of every legal layout that fits, with every way to offload, by time.
std::vector<Tried> brute_force(spec::RunSpec spec, const FixedAxes& fixed) {
  const SearchSpace space(spec, fixed);
  EXPECT_LT(space.num_layouts() * std::ssize(space.offloads()), 6000)
      << "too many to try one by one";
  LayoutBounds bounds(space);
  std::vector<Tried> all;
  for (const LayoutFamily& family : layout_families(space)) {
    bounds.visit(family,
                 [&](const spec::ParallelLayout& layout, const LayoutBound&, const LayoutBound&) {
                   for (const spec::Offload& offload : space.offloads()) {
                     spec.layout = layout;
                     spec.layout.offload = offload;
                     const auto whole = estimate(spec);
                     ASSERT_TRUE(whole) << whole.error().message;
                     if (whole->fits)
                       all.push_back({spec.layout, whole->step_s, whole->worst_bytes});
                   }
                 });
  }
  return all;
}

template <class Key>
std::vector<Tried> sorted(std::vector<Tried> list, const Key& key) {
  std::sort(list.begin(), list.end(), [&key](const Tried& a, const Tried& b) {
    return key(a) != key(b) ? key(a) < key(b) : comes_before(a.layout, b.layout);
  });
  return list;
}
std::vector<Tried> by_time(const std::vector<Tried>& list) {
  return sorted(list, [](const Tried& t) { return std::pair{t.step_s, t.memory_bytes}; });
}
std::vector<Tried> by_memory(const std::vector<Tried>& list) {
  return sorted(list, [](const Tried& t) { return std::pair{t.memory_bytes, t.step_s}; });
}

// The first of every layout, whatever it offloads.
std::vector<Tried> each_once(const std::vector<Tried>& list) {
  std::vector<Tried> first;
  for (const Tried& one : list) {
    const auto same = [&one](Tried other) {
      other.layout.offload = one.layout.offload;
      return other.layout == one.layout;
    };
    if (std::none_of(first.begin(), first.end(), same)) first.push_back(one);
  }
  return first;
}

std::vector<Tried> front_of(const std::vector<Tried>& by_time) {
  std::vector<Tried> front;
  for (const Tried& one : by_time) {
    if (front.empty() || one.memory_bytes < front.back().memory_bytes) front.push_back(one);
  }
  return front;
}

void expect_same(const std::vector<FoundLayout>& found, const std::vector<Tried>& tried) {
  ASSERT_EQ(found.size(), tried.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    EXPECT_EQ(layout_text(found[i].layout), layout_text(tried[i].layout)) << i;
    EXPECT_EQ(found[i].figures.step_s, tried[i].step_s) << i;
    EXPECT_EQ(found[i].figures.memory_bytes, tried[i].memory_bytes) << i;
  }
}

void expect_brute_force(const spec::RunSpec& spec, const std::vector<std::string>& fixes) {
  const FixedAxes fixed = *FixedAxes::parse(fixes);
  const std::vector<Tried> all = brute_force(spec, fixed);
  ASSERT_GT(all.size(), 100U);
  std::vector<Tried> fastest = each_once(by_time(all));
  const SearchResult found = search(spec, {.fixed = fixed, .top = 10});
  EXPECT_TRUE(found.complete);
  EXPECT_EQ(found.considered, SearchSpace(spec, fixed).num_layouts());
  EXPECT_EQ(found.feasible, std::ssize(fastest));
  EXPECT_EQ(found.lower_bound_s, fastest.front().step_s);
  EXPECT_LT(found.played, std::ssize(all) / 2) << "bounds prune";
  EXPECT_LE(least_step_s(spec), fastest.front().step_s);
  expect_same(found.pareto, front_of(by_time(all)));
  const SearchResult lean =
      search(spec, {.fixed = fixed, .objective = SearchObjective::memory, .top = 10});
  std::vector<Tried> leanest = each_once(by_memory(all));
  leanest.resize(10);
  expect_same(lean.best, leanest);
  fastest.resize(10);
  expect_same(found.best, fastest);
}

std::vector<std::string> nothing_offloaded(std::vector<std::string> fixes) {
  for (const char* kind : {"weights", "gradients", "optimizer", "activations"})
    fixes.push_back(std::string("offload.") + kind + "=none");
  return fixes;
}

TEST(Search, FindsWhatTryingEveryLayoutFindsForADenseModel) {
  spec::RunSpec spec = small("gpt2-124m", 4, 8);
  expect_brute_force(spec, nothing_offloaded({"recompute=none"}));
}

TEST(Search, FindsWhatTryingEveryLayoutFindsForExperts) {
  expect_brute_force(
      small("olmoe-1b-7b", 8, 8),
      nothing_offloaded({"zero_stage=1", "recompute=full", "ends_count_as_layers=false"}));
}

TEST(Search, FindsWhatTryingEveryLayoutFindsOverNodes) {
  spec::RunSpec spec = small("mixtral-8x7b", 32, 32);
  expect_brute_force(
      spec, nothing_offloaded({"zero_stage=1", "recompute=selective", "context_parallel_size=1",
                               "expert_tensor_parallel_size=1", "ends_count_as_layers=false"}));
}

TEST(Search, FindsWhatTryingEveryLayoutFindsOfWhatLeavesTheDevice) {
  spec::RunSpec spec = small("mixtral-8x7b", 8, 16);
  spec.cluster.device.memory_bytes = 60e9;  // little of it fits as it is
  expect_brute_force(spec, {"zero_stage=1,3", "recompute=none", "context_parallel_size=1",
                            "expert_parallel_size=8", "schedule=1f1b", "micro_batch_size=1,2",
                            "expert_tensor_parallel_size=1", "ends_count_as_layers=false"});
}

TEST(Search, PutsOnDisksWhatTheHostHasNoRoomFor) {
  spec::RunSpec spec = small("mixtral-8x7b", 8, 16);
  spec.cluster.device.memory_bytes = 60e9;
  spec.cluster.host.memory_bytes = 300e9;
  const std::vector<std::string> fixes = {"zero_stage=1",
                                          "recompute=full",
                                          "context_parallel_size=1",
                                          "tensor_parallel_size=1",
                                          "schedule=1f1b,gpipe",
                                          "micro_batch_size=1,2",
                                          "expert_tensor_parallel_size=1"};
  expect_brute_force(spec, fixes);
  const SearchResult lean =
      search(spec, {.fixed = *FixedAxes::parse(fixes), .objective = SearchObjective::memory});
  EXPECT_THAT(layout_text(lean.best.front().layout), testing::HasSubstr("to nvme"));
}

// Of the fastest layout's step, what its order of ranks changes against the other order, by term.
std::map<std::string, double> changes_by_order(spec::RunSpec spec) {
  const auto best = estimate(spec);
  spec.layout.rank_order = spec.layout.rank_order == spec::RankOrder::tp_cp_ep_pp_dp
                               ? spec::RankOrder::tp_cp_ep_dp_pp
                               : spec::RankOrder::tp_cp_ep_pp_dp;
  const auto other = estimate(spec);
  std::map<std::string, double> changes;
  for (const TermDifference& term : layout_difference(*other, *best).time)
    changes[term.path] = term.change();
  return changes;
}

// Four nodes of H100 with 100 Gbit/s of each device between them, and Megatron-LM's 1F1B, whose
// sender waits. Activations are sent for every micro-batch, gradients once a step: in a small batch
// gradients should stay inside a node, in a large one activations.
TEST(Search, PutsIntoANodeTheGroupsThatSendMore) {
  spec::RunSpec spec = small("dense-10b", 32, 512);
  spec.software.framework = spec::Framework::megatron_lm;
  spec.cluster.inter_node.bytes_per_s = 12.5e9;
  const std::vector<std::string> fixes = nothing_offloaded(
      {"zero_stage=1", "schedule=1f1b", "context_parallel_size=1", "ends_count_as_layers=true"});
  const SearchOptions options{.fixed = *FixedAxes::parse(fixes), .top = 1};
  constexpr const char* kSends = "communication/sends between passes";
  constexpr const char* kGradients = "communication/data parallel";

  spec.layout = search(spec, options).best.front().layout;
  EXPECT_EQ(spec.layout.rank_order, spec::RankOrder::tp_cp_ep_dp_pp) << layout_text(spec.layout);
  EXPECT_GT(spec.layout.pipeline_parallel_size, 1);
  std::map<std::string, double> changes = changes_by_order(spec);
  EXPECT_GT(changes[kSends], 0) << "stages are in two nodes";
  EXPECT_LT(changes[kGradients], -changes[kSends]);

  spec.training.global_batch_size = 2048;
  expect_brute_force(spec, fixes);
  spec.layout = search(spec, options).best.front().layout;
  EXPECT_EQ(spec.layout.rank_order, spec::RankOrder::tp_cp_ep_pp_dp) << layout_text(spec.layout);
  const double gradients_s = changes[kGradients];
  changes = changes_by_order(spec);
  EXPECT_NEAR(changes[kGradients], -gradients_s, 1e-9) << "as much as with the small batch";
  EXPECT_LT(changes[kSends], -changes[kGradients]) << "but four times as many activations";
}

TEST(Search, IsTheSameForAnyNumberOfThreads) {
  const spec::RunSpec spec = small("mixtral-8x7b", 16, 32);
  const SearchResult one = search(spec, {.top = 5}, 1);
  const SearchResult two = search(spec, {.top = 5}, 2);
  EXPECT_EQ(one.considered, two.considered);
  EXPECT_EQ(one.played, two.played);
  EXPECT_EQ(one.rejected, two.rejected);
  ASSERT_EQ(one.best.size(), 5U);
  for (std::size_t i = 0; i < 5; ++i)
    EXPECT_EQ(one.best[i].layout, two.best[i].layout);
  ASSERT_EQ(one.pareto.size(), two.pareto.size());
  for (std::size_t i = 0; i < one.pareto.size(); ++i)
    EXPECT_EQ(one.pareto[i].layout, two.pareto[i].layout);
}

TEST(Search, TheCheapestIsTheFastestWhereDevicesAreRented) {
  const spec::RunSpec spec = small("mixtral-8x7b", 16, 32);
  const SearchOptions options{.fixed = *FixedAxes::parse(nothing_offloaded({"zero_stage=1"})),
                              .top = 3};
  SearchOptions cost = options;
  cost.objective = SearchObjective::cost;
  const SearchResult fast = search(spec, options);
  const SearchResult cheap = search(spec, cost);
  EXPECT_EQ(cheap.best.front().layout, fast.best.front().layout);
  EXPECT_LE(cheap.best[0].usd, cheap.best[1].usd);
  EXPECT_GT(cheap.best[0].usd, 0);
}

TEST(Search, KeepsTheBestSoFarWhenStopped) {
  const spec::RunSpec spec = small("mixtral-8x7b", 16, 32);
  const SearchResult whole = search(spec, {.top = 3});
  std::atomic<int> stop = 0;
  ThreadPool pool(2);
  int reports = 0;
  const auto found = search_layouts(
      spec, {.top = 3}, {.pool = pool, .stop = stop, .report = [&](const SearchProgress& p) {
                           EXPECT_LE(p.done, p.total);
                           if (++reports == 20) stop = 1;
                         }});
  ASSERT_TRUE(found) << found.error().message;
  EXPECT_FALSE(found->complete);
  EXPECT_LT(found->considered, whole.considered);
  ASSERT_EQ(found->best.size(), 3U);
  EXPECT_GT(found->lower_bound_s, 0);
  EXPECT_LE(found->lower_bound_s, whole.best.front().figures.step_s);
  EXPECT_GE(found->best.front().figures.step_s, whole.best.front().figures.step_s);
}

TEST(Search, NamesWhatBindsAndWhatWouldHelp) {
  const spec::RunSpec spec = small("mixtral-8x7b", 16, 32);
  const auto fixed = [](const std::vector<std::string>& texts) {
    return SearchOptions{.fixed = *FixedAxes::parse(texts)};
  };
  EXPECT_EQ(
      error_of(spec, fixed({"tensor_parallel_size=3"})),
      "--fix tensor_parallel_size=3: no layout of 16 devices is legal with it | use 1, 2, 4, 8 or "
      "16");
  EXPECT_NE(error_of(spec, fixed({"schedule=zb-v", "pipeline_parallel_size=1"}))
                .find("no layout of 16 devices is legal with it | use 2"),
            std::string::npos);
  SearchOptions tight{.memory_limit_bytes = 2e9};
  const std::string message = error_of(spec, tight);
  EXPECT_NE(message.find("legal layouts fits into"), std::string::npos) << message;
  EXPECT_NE(message.find("use --memory-limit"), std::string::npos) << message;
  const std::string held =
      error_of(spec, fixed(nothing_offloaded(
                         {"zero_stage=0", "expert_parallel_size=1", "expert_tensor_parallel_size=1",
                          "tensor_parallel_size=1", "pipeline_parallel_size=1"})));
  EXPECT_NE(held.find("| leave --fix"), std::string::npos) << held;
  spec::RunSpec odd = spec;
  odd.cluster.num_nodes = 1;
  odd.cluster.devices_per_node = 37;  // no axis of the model has this prime
  EXPECT_NE(error_of(odd, {}).find("use --gpus 36"), std::string::npos) << error_of(odd, {});
  spec::RunSpec copies = spec;
  copies.layout.zero_replicas = 7;
  EXPECT_EQ(error_of(copies, {}),
            "layout.zero_replicas = 7: no layout of 16 devices is legal with it | use 1");
  EXPECT_EQ(error_of(copies, fixed({"zero_replicas=3"})),
            "--fix zero_replicas=3: no layout of 16 devices is legal with it | use 1");
}

TEST(Search, SaysWhenTheHostHasNoRoom) {
  spec::RunSpec spec = small("mixtral-8x7b", 1, 8);
  spec.cluster.host.memory_bytes = 10e9;
  spec.cluster.host.nvme_bytes = 10e9;
  EXPECT_NE(error_of(spec, {.fixed = *FixedAxes::parse({"recompute=full"})})
                .find("fits: what has to leave the devices of a node is more than its 9.31 GiB"),
            std::string::npos);
}

// What the limits say is the smallest step that helps.
TEST(Search, TheMemoryLimitItAsksForIsEnough) {
  const spec::RunSpec spec = small("mixtral-8x7b", 16, 32);
  const std::string message = error_of(spec, {.memory_limit_bytes = 2e9});
  const std::size_t at = message.find("--memory-limit ");
  ASSERT_NE(at, std::string::npos) << message;
  const double enough = std::stod(message.substr(at + 15));
  EXPECT_GE(search(spec, {.memory_limit_bytes = enough}).feasible, 1);
  EXPECT_NE(error_of(spec, {.memory_limit_bytes = enough * 0.98}), "found");
}

}  // namespace
}  // namespace tera::plan
