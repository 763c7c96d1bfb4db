#include "core/plan/fixed_axes.h"

#include <gtest/gtest.h>

namespace tera::plan {
namespace {

using spec::ParallelLayout;

TEST(FixedAxes, SaysWhatIsWrong) {
  const auto message = [](std::vector<std::string> texts) {
    const auto fixed = FixedAxes::parse(texts);
    return fixed ? std::string() : fixed.error().message;
  };
  EXPECT_EQ(message({"tensor_parallel_size=4", "schedule=zb-v"}), "");
  EXPECT_EQ(message({"tensor=4"}), "--fix: layout has no axis 'tensor'");
  EXPECT_EQ(message({"recompute=some"}).find("--fix: "), 0U);
  EXPECT_EQ(message({"recompute"}), "--fix: got 'recompute', expected AXIS=VALUE");
  EXPECT_NE(message({"zero_stage=1", "zero_stage=2"}).find("fixed twice"), std::string::npos);
  EXPECT_NE(message({"zero_stage=1,"}), "");
  EXPECT_NE(message({"zero_stage=1,7"}).find("got '7'"), std::string::npos);
  EXPECT_EQ(message({"expert_load_percentile=50,90"}),
            "--fix: expert_load_percentile is not searched, so it has one value");
  EXPECT_EQ(message({"zero_replicas=2,4"}),
            "--fix: zero_replicas is not searched, so it has one value");
  EXPECT_EQ(message({"schedule_file=order.txt"}),
            "--fix: schedule_file has the order of one layout, and no search runs it");
}

TEST(FixedAxes, AllowsTheValuesNamed) {
  const FixedAxes fixed = *FixedAxes::parse({"zero_stage=1,3", "offload.optimizer=host"});
  EXPECT_TRUE(fixed.has("zero_stage"));
  EXPECT_FALSE(fixed.has("recompute"));
  EXPECT_EQ(fixed.allowed<int>("zero_stage", {0, 1, 2, 3}, &ParallelLayout::zero_stage),
            (std::vector<int>{1, 3}));
  EXPECT_EQ(fixed.allowed<int>("micro_batch_size", {1, 2}, &ParallelLayout::micro_batch_size),
            (std::vector<int>{1, 2}));
  const auto optimizer = [](const ParallelLayout& layout) { return layout.offload.optimizer; };
  EXPECT_EQ(
      fixed.allowed<spec::OffloadTier>("offload.optimizer", {spec::OffloadTier::none}, optimizer),
      std::vector<spec::OffloadTier>{});
  EXPECT_FALSE(fixed.allows("zero_stage", 2, &ParallelLayout::zero_stage));
  EXPECT_TRUE(fixed.without("zero_stage").allows("zero_stage", 2, &ParallelLayout::zero_stage));
  EXPECT_EQ(fixed.texts().at("zero_stage"), "1,3");
}

}  // namespace
}  // namespace tera::plan
