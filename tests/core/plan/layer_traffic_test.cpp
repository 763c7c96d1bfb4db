#include "core/plan/layer_traffic.h"

#include <gtest/gtest.h>

#include "tests/core/plan/plan_specs.h"

namespace tera::plan {
namespace {

TEST(LayerTraffic, MegatronFusesElementwiseOperationsWithoutACompiler) {
  spec::SoftwareConfig software{.framework = spec::Framework::megatron_lm, .compiled = false};
  EXPECT_TRUE(fuses_elementwise(software));
  software.framework = spec::Framework::torchtitan;
  EXPECT_FALSE(fuses_elementwise(software));
}

// Exchanged rows are read and written by sorting at either end, whatever they carry.
TEST(LayerTraffic, RowsOfExpertsAreSortedOnceMoreByRank) {
  spec::RunSpec spec = run_spec("mixtral-8x7b");
  spec.layout = {};
  spec.software.framework = spec::Framework::megatron_lm;
  const RankRates rates{.element_bytes = 2, .tokens = 1024, .residual_tokens = 1024};
  const auto rows_bytes = [&] { return streamed_bytes(spec, rates, {}, true).experts; };
  const double alone = rows_bytes();
  spec.layout.expert_parallel_size = 8;
  const double row_bytes = 2.0 * spec.model.hidden_size * 2;  // two experts, bf16
  EXPECT_DOUBLE_EQ(rows_bytes() - alone, 4 * 1024 * row_bytes);
  spec.software.token_deduplication = true;
  EXPECT_DOUBLE_EQ(rows_bytes() - alone, (kBufferedAccesses.value - 4) * 1024 * row_bytes);
}

}  // namespace
}  // namespace tera::plan
