#include "core/plan/search_standing.h"

#include <gtest/gtest.h>

#include "tests/core/plan/plan_specs.h"

namespace tera::plan {
namespace {

FoundLayout found(int micro_batch, bool offloads, double step_s, double memory_bytes) {
  FoundLayout one;
  one.layout.micro_batch_size = micro_batch;
  if (offloads) one.layout.offload.optimizer = spec::OffloadTier::host;
  one.figures = {.step_s = step_s,
                 .busy_share = 0.5,
                 .memory_bytes = memory_bytes,
                 .host_bytes = offloads ? 50.0 : 0.0};
  one.usd = step_s;
  return one;
}

class StandingTest : public testing::Test {
 protected:
  const spec::RunSpec spec_ = run_spec("mixtral-8x7b");
  SearchOptions options_{.top = 2};
  const MemoryLimits limits_{.device_bytes = 100, .host_bytes = 60, .nvme_bytes = 0};
};

TEST_F(StandingTest, HasEachLayoutOnceAndTheFrontOfAll) {
  Standing standing(spec_, options_, limits_);
  standing.add(found(1, false, 10, 90));
  standing.add(found(1, true, 11, 40));
  standing.add(found(2, false, 12, 80));
  standing.add(found(4, false, 9, 101));  // does not fit
  ASSERT_EQ(standing.best().size(), 2U);
  EXPECT_EQ(standing.best()[0].layout, found(1, false, 0, 0).layout);
  EXPECT_EQ(standing.best()[1].layout, found(2, false, 0, 0).layout);
  ASSERT_EQ(standing.front().size(), 2U);
  EXPECT_EQ(standing.front()[1].layout, found(1, true, 0, 0).layout);
  standing.add(found(2, true, 8, 80));
  EXPECT_EQ(standing.best()[0].layout, found(2, true, 0, 0).layout);
  EXPECT_EQ(standing.best()[1].figures.step_s, 10);
}

TEST_F(StandingTest, TellsWhatMayStillMatter) {
  Standing standing(spec_, options_, limits_);
  EXPECT_TRUE(standing.may_matter({.step_s = 1e9, .memory_bytes = 100}));
  EXPECT_FALSE(standing.may_matter({.step_s = 1, .memory_bytes = 101}));
  EXPECT_FALSE(standing.may_matter({.step_s = 1, .memory_bytes = 1, .host_bytes = 61}));
  EXPECT_FALSE(standing.may_matter({.step_s = 1, .memory_bytes = 1, .nvme_bytes = 1}));
  standing.add(found(1, false, 10, 50));
  standing.add(found(2, false, 12, 60));
  EXPECT_TRUE(standing.may_matter({.step_s = 12, .memory_bytes = 90})) << "among the best";
  EXPECT_TRUE(standing.may_matter({.step_s = 20, .memory_bytes = 49})) << "on the front";
  EXPECT_FALSE(standing.may_matter({.step_s = 13, .memory_bytes = 50}));
}

TEST_F(StandingTest, WhatCostsMoreIsFoundFromTheStep) {
  options_.objective = SearchObjective::cost;
  options_.top = 1;
  Standing standing(spec_, options_, limits_);
  FoundLayout one = found(1, false, 10, 50);
  one.usd = usd_of(spec_, 10, 0.5);
  standing.add(one);
  const double idle_usd = usd_of(spec_, 10.01, 0);
  EXPECT_EQ(standing.may_matter({.step_s = 10.01, .memory_bytes = 60}), idle_usd <= one.usd);
  EXPECT_FALSE(standing.may_matter({.step_s = 20, .memory_bytes = 60}));
}

}  // namespace
}  // namespace tera::plan
