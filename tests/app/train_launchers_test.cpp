// Ranks that another launcher started than Open MPI's mpirun.
#include <csignal>

#include <gmock/gmock.h>

#include "tests/app/ranks_fixture.h"

namespace tera {
namespace {

using test::RunningTeragpt;
using testing::HasSubstr;
using testing::Not;
using enum test::RunningTeragpt::Output;

class TrainLaunchers : public test::ToyRanks {};

// Who started it must hear of it by whatever name its launcher gave it.
TEST_F(TrainLaunchers, ARankOfAnotherLauncherIsNotTakenForLost) {
  start_rank_1_by("", "sh -c 'unset OMPI_COMM_WORLD_RANK; exec \"$@\"' sh \"$program\" \"$@\"");
  RunningTeragpt program(train({"--set", kEndless, "--timeout", "2"}), terminal);
  const double begin_s = monotonic_s();
  while (monotonic_s() - begin_s < 4)
    ASSERT_NO_FATAL_FAILURE(read_a_step(program));
  program.send(SIGINT);
  const std::string text = rest_of(program);
  EXPECT_EQ(program.wait(), 75) << text;
  EXPECT_THAT(text, Not(HasSubstr("error: ")));
  EXPECT_EQ(newest_run().state, run::RunState::stopped) << newest_run().detail;
}

}  // namespace
}  // namespace tera
