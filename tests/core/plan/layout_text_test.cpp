#include "core/plan/layout_text.h"

#include <gtest/gtest.h>

namespace tera::plan {
namespace {

using spec::OffloadTier;

TEST(LayoutText, NamesWhatIsNotOneAndTheChoices) {
  spec::ParallelLayout layout;
  EXPECT_EQ(layout_text(layout), "one rank, micro-batch 1, recompute none, zero 0");
  layout.schedule = spec::ScheduleKind::gpipe;
  EXPECT_EQ(layout_text(layout), "one rank, micro-batch 1, gpipe, recompute none, zero 0");
  layout.tensor_parallel_size = 4;
  layout.pipeline_parallel_size = 8;
  layout.virtual_stages = 2;
  layout.schedule = spec::ScheduleKind::interleaved;
  layout.ends_count_as_layers = layout.sequence_parallel = true;
  layout.zero_stage = 1;
  EXPECT_EQ(layout_text(layout),
            "tensor 4, pipeline 8, chunks 2, micro-batch 1, interleaved, ends count, sequence "
            "parallel, recompute none, zero 1");
  layout.expert_dispatcher = spec::ExpertDispatcher::all_gather;
  EXPECT_EQ(layout_text(layout).find("all-gather"), std::string::npos) << "nothing is dispatched";
  layout.expert_parallel_size = 2;
  EXPECT_NE(layout_text(layout).find("expert 2, all-gather, "), std::string::npos);
  layout.zero_replicas = 4;
  EXPECT_TRUE(layout_text(layout).ends_with("zero 1, 4 copies"));
  layout = {};
  layout.pipeline_parallel_size = layout.data_parallel_size = 2;
  layout.rank_order = spec::RankOrder::tp_cp_ep_pp_dp;
  EXPECT_EQ(
      layout_text(layout),
      "data 2, pipeline 2, order tp-cp-ep-pp-dp, micro-batch 1, 1f1b, recompute none, zero 0");
}

TEST(LayoutText, SaysWhatGoesWhere) {
  spec::ParallelLayout layout;
  layout.offload = {.weights = OffloadTier::nvme,
                    .gradients = OffloadTier::none,
                    .optimizer = OffloadTier::host,
                    .activations = OffloadTier::host};
  EXPECT_EQ(layout_text(layout),
            "one rank, micro-batch 1, recompute none, zero 0, offload optimizer + activations to "
            "host, weights to nvme");
}

}  // namespace
}  // namespace tera::plan
