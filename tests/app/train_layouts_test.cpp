#include "tests/app/train_layouts.h"

namespace tera::train {
namespace {

using test::TrainLayouts;
using enum spec::ScheduleKind;

TEST_F(TrainLayouts, ProcessesTrainLikeOneRank) {
  expect_trains_alike(one_thread_spec(),
                      {{.tp = 2, .ep = 2},
                       {.cp = 2, .zero = 1},
                       {.tp = 2, .etp = 2, .pp = 2},
                       {.tp = 2, .dp = 2, .ep = 4, .pp = 2, .zero = 1, .schedule = zb_v}},
                      kLearnt);
}

}  // namespace
}  // namespace tera::train
