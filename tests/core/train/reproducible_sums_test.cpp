// With reproducible sums the number of replicas changes no bit of a run: of the same global batch
// one rank runs all micro-batches, or several run some each.
#include "tests/core/train/layout_fixture.h"

namespace tera::train {
namespace {

using spec::ScheduleKind;
using test::LayoutCase;

class ReproducibleSums : public test::LayoutTest {
 protected:
  // Eight micro-batches.
  spec::RunSpec reproducible_spec() const {
    spec::RunSpec spec = small_spec();
    spec.layout.micro_batch_size = 1;
    spec.training.reproducible_sums = true;
    spec.training.num_steps = 6;
    spec.training.eval_interval = 3;
    spec.training.checkpoint_interval = 0;
    spec.training.ema_decay = 0.9;
    spec.training.grad_clip = 0.5;
    return spec;
  }

  void expect_same_bits(const spec::RunSpec& spec, const std::vector<LayoutCase>& layouts) {
    std::map<std::string, std::vector<char>> tensors;
    Records expected;
    for (const LayoutCase& layout : layouts) {
      SCOPED_TRACE(testing::Message()
                   << enum_name(spec.training.precision) << ", " << layout.name());
      spec::RunSpec other = spec;
      layout.apply_to(other);
      const run::RunDirectory dir = create(other);
      run(dir);
      if (expected.empty()) {
        expected = records(dir);
        tensors = final_tensors(dir);
        ASSERT_TRUE(expected.at(6).has("eval_loss"));
        ASSERT_TRUE(expected.at(6).has("eval_loss_ema"));
        ASSERT_LT(value_of(expected.at(6), "loss"), value_of(expected.at(1), "loss"));
        continue;
      }
      const Records got = records(dir);
      ASSERT_EQ(got.size(), expected.size());
      for (const auto& [step, record] : expected) {
        expect_equal_values(got.at(step), record,
                            {"loss", "mtp_loss", "balance_loss", "z_loss", "grad_norm", "eval_loss",
                             "eval_loss_ema", "expert_imbalance", "dropped_share"});
        EXPECT_EQ(got.at(step).expert_load, record.expert_load) << step;
        EXPECT_EQ(got.at(step).data_chain, record.data_chain) << step;
      }
      EXPECT_EQ(final_tensors(dir), tensors);
    }
  }
};

TEST_F(ReproducibleSums, ReplicasChangeNoBit) {
  for (const auto precision : {spec::Precision::fp32, spec::Precision::bf16}) {
    for (const bool dense : {true, false}) {
      spec::RunSpec spec = reproducible_spec();
      spec.training.precision = precision;
      spec.model.num_experts = dense ? 0 : 4;
      spec.model.ffn_hidden_size = 48;
      spec.model.num_dense_layers = dense ? 0 : 1;
      spec.model.tie_embeddings = dense;
      spec.model.num_mtp_layers = dense ? 0 : 1;
      if (!dense) spec.model.aux_loss_scope = spec::AuxLossScope::global_batch;
      SCOPED_TRACE(dense ? "dense" : "experts");
      expect_same_bits(spec, {{},
                              {.dp = 2},
                              {.dp = 4},
                              {.dp = 8},
                              {.dp = 2, .zero = 1},
                              {.dp = 4, .zero = 2},
                              {.dp = 8, .zero = 3},
                              {.dp = 4, .zero = 1, .copies = 2},
                              {.dp = 8, .zero = 3, .copies = 4}});
    }
  }
}

TEST_F(ReproducibleSums, InOtherPrecisionsToo) {
  for (const auto precision : {spec::Precision::bf16_stochastic, spec::Precision::fp16}) {
    spec::RunSpec spec = reproducible_spec();
    spec.training.precision = precision;
    spec.model.expert_capacity_factor = 1.25;
    expect_same_bits(spec, {{}, {.dp = 2, .zero = 3}, {.dp = 8}});
  }
}

// What splits matrices, experts and layers has an order of its own, which replicas keep.
TEST_F(ReproducibleSums, BesideOtherAxes) {
  const spec::RunSpec spec = reproducible_spec();
  expect_same_bits(spec, {{.tp = 2}, {.tp = 2, .dp = 2, .zero = 1}, {.tp = 2, .dp = 4}});
  expect_same_bits(spec, {{.dp = 2, .ep = 2},
                          {.dp = 4, .ep = 2, .zero = 2},
                          {.dp = 8, .ep = 2},
                          {.dp = 8, .ep = 2, .zero = 2, .copies = 2}});
  expect_same_bits(spec, {{.dp = 2, .etp = 2}, {.dp = 4, .etp = 2}});
  spec::RunSpec layers = spec;
  layers.model.num_layers = 3;
  expect_same_bits(layers, {{},
                            {.pp = 2},
                            {.dp = 2, .pp = 2},
                            {.dp = 2, .pp = 2, .zero = 1, .schedule = ScheduleKind::interleaved},
                            {.dp = 4, .pp = 2, .schedule = ScheduleKind::interleaved},
                            {.dp = 8, .pp = 2}});
}

// A sum of one micro-batch beside those before costs traffic with every one.
TEST_F(ReproducibleSums, CostASumForEveryMicroBatch) {
  spec::RunSpec spec = reproducible_spec();
  spec.model.num_experts = 0;
  spec.model.ffn_hidden_size = 48;
  spec.layout.data_parallel_size = 2;
  const run::RunDirectory each = create(spec);
  run(each);
  spec.training.reproducible_sums = false;
  const run::RunDirectory once = create(spec);
  run(once);
  const double ratio =
      value_of(records(each).at(2), "traffic") / value_of(records(once).at(2), "traffic");
  EXPECT_GT(ratio, 3.9);
  EXPECT_LT(ratio, 4.2);
}

}  // namespace
}  // namespace tera::train
