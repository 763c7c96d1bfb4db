#include "tests/app/train_layouts.h"

#include "tests/core/train/pipeline_cuts.h"

namespace tera::train {
namespace {

using spec::ParallelLayout;
using test::cut;
using test::split_heads;
using test::TrainLayouts;
using enum spec::ScheduleKind;

TEST_F(TrainLayouts, ProcessesTrainLikeOneRank) {
  expect_each_trains_like_one_rank(
      one_thread_spec(),
      {{"tp2 ep2", 2, [](ParallelLayout& l) { split_heads(l), l.expert_parallel_size = 2; }},
       {"pp2 tp2 etp2", 4,
        [](ParallelLayout& l) {
          cut(l, one_f_one_b), split_heads(l), l.expert_tensor_parallel_size = 2;
        }},
       {"pp2 zb-v tp2 ep4 dp2 zero1", 8, [](ParallelLayout& l) {
          cut(l, zb_v), split_heads(l);
          l.data_parallel_size = 2, l.expert_parallel_size = 4, l.zero_stage = 1;
        }}});
}

}  // namespace
}  // namespace tera::train
