// Buffers of experts for even loads, which every other load overflows: rows beyond them travel and
// are computed in further chunks, and training is the same.
#include "tests/core/train/layout_fixture.h"

namespace tera::train {
namespace {

using test::LayoutCase;
using enum spec::RecomputeKind;

class ExpertOverflow : public test::LayoutTest {
 protected:
  // Where the experts of one of `ranks` ranks got more than their even share of a step, its buffer
  // overflowed in a micro-batch at least.
  static bool overflows(const Records& records, std::size_t ranks) {
    for (const auto& [step, record] : records) {
      for (const std::vector<double>& load : record.expert_load) {
        const std::size_t each = load.size() / ranks;
        double first = 0;
        for (std::size_t e = 0; e < load.size(); ++e) {
          if (e % each == 0) first = 0;
          first += load[e];
          if (e % each == each - 1 && first != static_cast<double>(tokens(records) / ranks))
            return true;
        }
      }
    }
    return false;
  }

 private:
  // Rows of a layer in a step.
  static std::size_t tokens(const Records& records) {
    double sum = 0;
    for (const double rows : records.begin()->second.expert_load.front())
      sum += rows;
    return static_cast<std::size_t>(sum);
  }
};

TEST_F(ExpertOverflow, TrainsLikeOneRank) {
  const spec::RunSpec spec = descent_spec();
  const run::RunDirectory one = create(spec);
  run(one);
  ASSERT_TRUE(overflows(records(one), 2));
  expect_trains_alike(
      spec, {{.dp = 2, .ep = 2, .load = 0},
             {.dp = 2, .ep = 2, .load = 0, .recompute = selective},
             {.dp = 2, .ep = 2, .load = 0, .recompute = full},
             {.dp = 4, .ep = 4, .load = 0},
             {.dp = 4, .ep = 4, .load = 0, .dispatcher = spec::ExpertDispatcher::all_gather},
             {.tp = 2, .ep = 2, .load = 0, .recompute = full},
             {.dp = 2, .etp = 2, .load = 0},
             {.tp = 2, .dp = 2, .ep = 2, .etp = 2, .load = 0, .recompute = selective},
             {.dp = 4, .ep = 2, .zero = 2, .load = 0, .recompute = full},
             {.dp = 2, .ep = 2, .pp = 2, .schedule = spec::ScheduleKind::zb_v, .load = 0}});
}

// Rows do not see who is computed beside them, so the first forward has the bits of buffers that
// nothing overflows; and what is recomputed has the bits it had.
TEST_F(ExpertOverflow, HasTheSameBitsInBf16WhateverIsRecomputed) {
  spec::RunSpec spec = small_spec();
  spec.training.precision = spec::Precision::bf16;
  LayoutCase{.dp = 2, .ep = 2, .load = 99.99}.apply_to(spec);
  const run::RunDirectory wide = create(spec);
  run(wide);
  LayoutCase{.dp = 2, .ep = 2, .load = 0}.apply_to(spec);
  const run::RunDirectory kept = create(spec);
  run(kept);
  const Records expected = records(kept);
  ASSERT_TRUE(overflows(expected, 2));
  expect_equal_values(expected.at(1), records(wide).at(1), {"loss", "balance_loss", "z_loss"});
  const auto tensors = final_tensors(kept);
  for (const spec::RecomputeKind recompute : {selective, full}) {
    SCOPED_TRACE(std::string(enum_name(recompute)));
    spec.layout.recompute = recompute;
    const run::RunDirectory dir = create(spec);
    run(dir);
    const Records got = records(dir);
    for (const auto& [step, record] : expected) {
      expect_equal_values(got.at(step), record, {"loss", "grad_norm", "eval_loss"});
      EXPECT_EQ(got.at(step).expert_load, record.expert_load) << step;
    }
    EXPECT_EQ(final_tensors(dir), tensors);
  }
}

}  // namespace
}  // namespace tera::train
