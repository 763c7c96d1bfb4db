// Models of every kind, every schedule and more stages: see pipeline_test.cpp.
#include "tests/core/nn/tiny_model.h"
#include "tests/core/train/pipeline_fixture.h"

namespace tera::train {
namespace {

using plan::ScheduleKind;
using namespace test;  // NOLINT(google-build-using-namespace)

class PipelineOfModel : public testing::TestWithParam<nn::test::NamedConfig> {};

TEST_P(PipelineOfModel, TrainsAsOneRank) {
  constexpr int kSteps = 20;
  spec::RunSpec base = pipeline_spec();
  base.model = GetParam().config;
  base.model.num_layers = 4;
  base.model.max_position_embeddings = std::max(16, base.model.max_position_embeddings);
  base.training.global_batch_size = 12;
  base.training.optimizer = spec::OptimizerKind::sgd;
  base.training.sgd_momentum = 0;
  base.training.learning_rate = 1e-3;
  const bool shared = base.model.tie_embeddings || base.model.num_mtp_layers > 0;
  for (const int stages : {2, 3, 4}) {
    for (const ScheduleKind kind : plan::kScheduleKinds) {
      spec::RunSpec spec = over_stages(base, kind, stages);
      spec.layout.recompute =
          static_cast<spec::RecomputeKind>((stages + static_cast<int>(kind)) % 3);
      SCOPED_TRACE(name_of(spec));
      const PipelineOutcome outcome = train_stages(spec, kSteps);
      const PipelineOutcome expected = train_stages(on_one_rank(spec), kSteps);
      expect_runs_the_schedule(spec, outcome);
      if (shared) {
        expect_close(outcome, expected, order_of_sums(spec, kSteps));
      } else {
        expect_equal_bits(outcome, expected);
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All,
                         PipelineOfModel,
                         testing::ValuesIn(nn::test::all_and_training_configs()),
                         testing::PrintToStringParamName());

}  // namespace
}  // namespace tera::train
