// The table of layouts that run on two, four and eight processes.
#include "tests/app/train_layouts.h"

namespace tera::train {
namespace {

using TrainManyLayouts = test::TrainLayouts;
using enum spec::ScheduleKind;

TEST_F(TrainManyLayouts, OfReplicasTensorsAndExperts) {
  expect_trains_alike(one_thread_spec(),
                      {{.dp = 2},
                       {.dp = 2, .zero = 1},
                       {.dp = 2, .zero = 2},
                       {.dp = 2, .zero = 3},
                       {.tp = 2},
                       {.dp = 2, .ep = 2},
                       {.dp = 4, .ep = 4},
                       {.dp = 4, .zero = 3},
                       {.tp = 2, .dp = 2, .ep = 2, .etp = 2},
                       {.tp = 2, .dp = 4, .ep = 4, .zero = 2}},
                      kLearnt);
}

TEST_F(TrainManyLayouts, OfContexts) {
  using enum spec::ContextMethod;
  expect_trains_alike(one_thread_spec(),
                      {{.cp = 2},
                       {.cp = 2, .context = ulysses},
                       {.cp = 4, .zero = 3},
                       {.tp = 2, .cp = 2, .dp = 2, .ep = 4, .zero = 2},
                       {.cp = 2, .dp = 2, .pp = 2, .schedule = zb_v, .context = ulysses}},
                      kLearnt);
}

TEST_F(TrainManyLayouts, OfTwoStages) {
  expect_trains_alike(one_thread_spec(),
                      {{.pp = 2},
                       {.dp = 2, .pp = 2, .schedule = zb_h2},
                       {.tp = 2, .ep = 2, .pp = 2, .schedule = interleaved},
                       {.tp = 2, .etp = 2, .pp = 2, .schedule = dualpipe_v},
                       {.dp = 4, .pp = 2, .zero = 1, .order = spec::RankOrder::tp_cp_ep_pp_dp},
                       {.tp = 2, .dp = 2, .ep = 2, .pp = 2, .schedule = zb_h1}},
                      kLearnt);
}

TEST_F(TrainManyLayouts, OfFourStages) {
  spec::RunSpec spec = one_thread_spec();
  spec.model.num_layers = 8;
  spec.layout.micro_batch_size = 1;
  expect_trains_alike(spec,
                      {{.pp = 4},
                       {.pp = 4, .schedule = gpipe},
                       {.pp = 4, .schedule = interleaved},
                       {.pp = 4, .schedule = zb_h1},
                       {.pp = 4, .schedule = zb_v},
                       {.pp = 4, .schedule = dualpipe_v},
                       {.tp = 2, .ep = 2, .pp = 4}},
                      kLearnt);
}

}  // namespace
}  // namespace tera::train
