// The table of layouts that run on two, four and eight processes.
#include "tests/app/train_layouts.h"
#include "tests/core/train/pipeline_cuts.h"

namespace tera::train {
namespace {

using spec::ParallelLayout;
using test::cut;
using test::split_heads;
using test::TrainLayouts;
using enum spec::ScheduleKind;

using TrainManyLayouts = TrainLayouts;

void cut_in_four(ParallelLayout& layout, spec::ScheduleKind schedule) {
  cut(layout, schedule);
  layout.pipeline_parallel_size = 4;
}

TEST_F(TrainManyLayouts, OfReplicasTensorsAndExperts) {
  expect_each_trains_like_one_rank(
      one_thread_spec(),
      {{"dp2", 2, [](ParallelLayout& l) { l.data_parallel_size = 2; }},
       {"dp2 zero1", 2, [](ParallelLayout& l) { l.data_parallel_size = 2, l.zero_stage = 1; }},
       {"dp2 zero2", 2, [](ParallelLayout& l) { l.data_parallel_size = 2, l.zero_stage = 2; }},
       {"dp2 zero3", 2, [](ParallelLayout& l) { l.data_parallel_size = 2, l.zero_stage = 3; }},
       {"tp2", 2, [](ParallelLayout& l) { split_heads(l); }},
       {"ep2", 2, [](ParallelLayout& l) { l.data_parallel_size = l.expert_parallel_size = 2; }},
       {"ep4", 4, [](ParallelLayout& l) { l.data_parallel_size = l.expert_parallel_size = 4; }},
       {"dp4 zero3", 4, [](ParallelLayout& l) { l.data_parallel_size = 4, l.zero_stage = 3; }},
       {"tp2 ep2 etp2", 4,
        [](ParallelLayout& l) {
          split_heads(l), l.data_parallel_size = 2;
          l.expert_parallel_size = l.expert_tensor_parallel_size = 2;
        }},
       {"tp2 dp4 ep4 zero2", 8, [](ParallelLayout& l) {
          split_heads(l), l.data_parallel_size = 4;
          l.expert_parallel_size = 4, l.zero_stage = 2;
        }}});
}

TEST_F(TrainManyLayouts, OfTwoStages) {
  expect_each_trains_like_one_rank(
      one_thread_spec(),
      {{"pp2", 2, [](ParallelLayout& l) { cut(l, one_f_one_b); }},
       {"pp2 zb-h2 dp2", 4, [](ParallelLayout& l) { cut(l, zb_h2), l.data_parallel_size = 2; }},
       {"pp2 interleaved tp2 ep2", 4,
        [](ParallelLayout& l) { cut(l, interleaved), split_heads(l), l.expert_parallel_size = 2; }},
       {"pp2 dualpipe-v tp2 etp2", 4,
        [](ParallelLayout& l) {
          cut(l, dualpipe_v), split_heads(l), l.expert_tensor_parallel_size = 2;
        }},
       {"pp2 dp4 zero1, stages side by side", 8,
        [](ParallelLayout& l) {
          cut(l, one_f_one_b), l.data_parallel_size = 4, l.zero_stage = 1;
          l.rank_order = spec::RankOrder::tp_cp_ep_pp_dp;
        }},
       {"pp2 zb-h1 tp2 ep2 dp2", 8, [](ParallelLayout& l) {
          cut(l, zb_h1), split_heads(l);
          l.data_parallel_size = l.expert_parallel_size = 2;
        }}});
}

TEST_F(TrainManyLayouts, OfFourStages) {
  spec::RunSpec spec = one_thread_spec();
  spec.model.num_layers = 8;
  spec.layout.micro_batch_size = 1;
  expect_each_trains_like_one_rank(
      spec, {{"pp4", 4, [](ParallelLayout& l) { cut_in_four(l, one_f_one_b); }},
             {"pp4 gpipe", 4, [](ParallelLayout& l) { cut_in_four(l, gpipe); }},
             {"pp4 interleaved", 4, [](ParallelLayout& l) { cut_in_four(l, interleaved); }},
             {"pp4 zb-h1", 4, [](ParallelLayout& l) { cut_in_four(l, zb_h1); }},
             {"pp4 zb-v", 4, [](ParallelLayout& l) { cut_in_four(l, zb_v); }},
             {"pp4 dualpipe-v", 4, [](ParallelLayout& l) { cut_in_four(l, dualpipe_v); }},
             {"pp4 tp2 ep2", 8, [](ParallelLayout& l) {
                cut_in_four(l, one_f_one_b), split_heads(l), l.expert_parallel_size = 2;
              }}});
}

}  // namespace
}  // namespace tera::train
