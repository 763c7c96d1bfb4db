// The end of a run on several ranks: what comes after the last checkpoint fails it no more.
#include <csignal>

#include <gmock/gmock.h>

#include "tests/app/ranks_fixture.h"

namespace tera {
namespace {

namespace fs = std::filesystem;
using test::RunningTeragpt;
using testing::HasSubstr;
using enum test::RunningTeragpt::Output;

// Old checkpoints whose removal waits until the test lets it go on.
class TrainSlowRemoval : public test::ToyRanks {
 protected:
  // Keeps two checkpoints, one of every ten steps: the first goes at step 30.
  std::vector<std::string> steps(int num_steps) const {
    return train({"--set", "training.num_steps=" + std::to_string(num_steps), "--set",
                  "training.checkpoint_interval=10", "--set", "training.keep_checkpoints=2",
                  "--timeout", "4"});
  }
  void wait_until_it_removes() const {
    for (int i = 0; i < 6000 && !fs::exists(root_ / "gate.waits"); ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    ASSERT_TRUE(fs::exists(root_ / "gate.waits"));
  }
  void let_go_on(double after_s) const {
    std::this_thread::sleep_for(std::chrono::duration<double>(after_s));
    std::ofstream(root_ / "gate") << "open";
  }

 private:
  const test::ScopedVariable preload_{
      "LD_PRELOAD", std::string(std::getenv("TERA_BINARY_DIR")) + "/" TERA_SLOW_REMOVAL};
  const test::ScopedVariable gate_{"TERA_TEST_GATE", root_ / "gate"};
};

// While the run goes on, and when all is done.
TEST_F(TrainSlowRemoval, MayTakeLongerThanRanksWait) {
  for (const int num_steps : {40, 30}) {
    RunningTeragpt program(steps(num_steps), terminal);
    ASSERT_NO_FATAL_FAILURE(wait_until_it_removes());
    let_go_on(7);
    const std::string text = rest_of(program);
    EXPECT_EQ(program.wait(), 0) << text;
    EXPECT_EQ(newest_run().state, run::RunState::completed) << newest_run().detail;
    EXPECT_FALSE(fs::exists(newest_run().path / "ckpt/step-000000010"));
    fs::remove(root_ / "gate");
    fs::remove(root_ / "gate.waits");
  }
}

TEST_F(TrainSlowRemoval, ARunThatIsWholeIsNotFailedByARankThatStopsAfterIt) {
  RunningTeragpt program(steps(30), terminal);
  ASSERT_NO_FATAL_FAILURE(wait_until_it_removes());
  kill(processes_.process_of(1), SIGSTOP);
  let_go_on(7);
  const std::string text = rest_of(program);
  EXPECT_EQ(program.wait(), 0) << text;
  EXPECT_THAT(text, HasSubstr("the run is whole, its ranks did not part in peace: rank 1 does not "
                              "answer: broadcast on world, rank 0 waited "));
  processes_.expect_none_left();
  EXPECT_EQ(newest_run().state, run::RunState::completed) << newest_run().detail;
  EXPECT_TRUE(fs::exists(newest_run().path / "launch/a001/error-00000.json"));
}

}  // namespace
}  // namespace tera
