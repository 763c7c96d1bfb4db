// What a person reads when ranks of `teragpt train` fail: one cause, soon, with nothing left
// behind.
#include <csignal>

#include <gmock/gmock.h>

#include "tests/app/ranks_fixture.h"

namespace tera {
namespace {

namespace fs = std::filesystem;
using test::ProgramResult;
using test::run_teragpt;
using test::RunningTeragpt;
using testing::AnyOf;
using testing::HasSubstr;
using enum test::RunningTeragpt::Output;

class TrainFaults : public test::ToyRanks {
 protected:
  // With a checkpoint of every step.
  std::vector<std::string> endless(const std::string& timeout_s = "60") const {
    return train(
        {"--set", kEndless, "--set", "training.checkpoint_interval=1", "--timeout", timeout_s});
  }
  // A checkpoint is there when the second step is told.
  static void read_to_a_checkpoint(RunningTeragpt& program) {
    read_a_step(program);
    read_a_step(program);
  }
  // Sends a signal to a rank of a job that trains; returns what was said after it.
  std::string after_signal(int rank, int number) {
    RunningTeragpt program(endless(number == SIGSTOP ? "5" : "60"), terminal);
    read_to_a_checkpoint(program);
    const double sent_s = monotonic_s();
    kill(processes_.process_of(rank), number);
    std::string text = rest_of(program);
    EXPECT_EQ(program.wait(), 1) << text;
    EXPECT_LT(monotonic_s() - sent_s, 20);
    processes_.expect_none_left();
    expect_one_error(text);
    return text;
  }
  static void expect_one_error(const std::string& text) {
    const auto first = text.find("error: ");
    EXPECT_NE(first, std::string::npos) << text;
    EXPECT_EQ(text.find("error: ", first + 1), std::string::npos) << text;
  }
  void expect_goes_on() const {
    const run::RunStatus status = newest_run();
    const ProgramResult more = run_teragpt({"train", "--run", status.path.string(), "--resume",
                                            "--steps", std::to_string(status.step + 2)});
    EXPECT_EQ(more.exit_code, 75) << more.err;
    EXPECT_EQ(newest_run().step, status.step + 2);
  }
};

TEST_F(TrainFaults, AKilledRankIsNamed) {
  const std::string text = after_signal(1, SIGKILL);
  EXPECT_THAT(text, HasSubstr("error: rank 1 on "));
  EXPECT_THAT(text, HasSubstr("was ended by signal 9 (Killed)"));
  EXPECT_THAT(text, HasSubstr("--resume"));
  const run::RunStatus status = newest_run();
  EXPECT_EQ(status.state, run::RunState::died);
  EXPECT_THAT(status.detail, HasSubstr("is gone: rank 1 on "));
  expect_goes_on();
}

TEST_F(TrainFaults, AStoppedRankIsNamedWithWhatWaitsForIt) {
  const std::string text = after_signal(1, SIGSTOP);
  EXPECT_THAT(text, HasSubstr("error: rank 1 does not answer: "));
  EXPECT_THAT(text, HasSubstr(" rank 0 waited 5"));
  EXPECT_THAT(text, HasSubstr("for rank 1"));
  EXPECT_EQ(newest_run().state, run::RunState::failed);
  EXPECT_THAT(newest_run().detail, HasSubstr("rank 1 does not answer"));
  expect_goes_on();
}

// It holds the lock and notes events.
TEST_F(TrainFaults, RankZeroMayBeTheOneThatIsStopped) {
  const std::string text = after_signal(0, SIGSTOP);
  EXPECT_THAT(text, HasSubstr("error: rank 0 does not answer: "));
  EXPECT_EQ(newest_run().state, run::RunState::failed);
  EXPECT_THAT(newest_run().detail, HasSubstr("rank 0 does not answer"));
  expect_goes_on();
}

TEST_F(TrainFaults, NoRankOutlivesTheProgramThatStartedIt) {
  RunningTeragpt program(endless(), terminal);
  read_to_a_checkpoint(program);
  program.send(SIGKILL);
  EXPECT_EQ(program.wait(), 128 + SIGKILL);
  processes_.expect_none_left();
  expect_goes_on();
}

TEST_F(TrainFaults, NoRankOutlivesMpirun) {
  RunningTeragpt program(endless(), terminal);
  read_to_a_checkpoint(program);
  kill(processes_.all().front(), SIGKILL);
  const std::string text = rest_of(program);
  EXPECT_EQ(program.wait(), 1) << text;
  EXPECT_THAT(text, HasSubstr("error: the ranks ended with exit code 137 (signal 9, Killed)"));
  processes_.expect_none_left();
  expect_one_error(text);
  expect_goes_on();
}

// mpirun, and a rank in a process group of its own that is stopped.
TEST_F(TrainFaults, WhoDoesNotListenIsKilled) {
  mpirun_is(
      "trap '' TERM\nset -m\n"
      "bash -c 'kill -STOP $$' bash --rank-of-mpi-job &\nwhile :; do sleep 1; done\n");
  const ProgramResult result = run_teragpt(train({"--timeout", "1"}));
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr("error: ranks 0-1 do not answer"));
  processes_.expect_none_left();
}

// When mpirun goes, the kernel wakes it and hangs up: it may reach a checkpoint.
TEST_F(TrainFaults, AStoppedRankDoesNotOutliveMpirun) {
  RunningTeragpt program(endless(), terminal);
  read_to_a_checkpoint(program);
  kill(processes_.process_of(1), SIGSTOP);
  kill(processes_.all().front(), SIGKILL);
  const std::string text = rest_of(program);
  EXPECT_THAT(program.wait(), AnyOf(1, 75)) << text;
  processes_.expect_none_left();
  expect_goes_on();
}

TEST_F(TrainFaults, AStoppedMpirunIsWokenToEnd) {
  mpirun_is("kill -STOP $$; sleep 100\n");
  const double begin_s = monotonic_s();
  EXPECT_EQ(run_teragpt(train({"--timeout", "1"})).exit_code, 1);
  EXPECT_LT(monotonic_s() - begin_s, 8) << "not by SIGKILL";
  processes_.expect_none_left();
}

// It neither hears of the rank that is killed nor ends those that give up.
TEST_F(TrainFaults, RanksThatGiveUpDoNotWaitForAStoppedMpirun) {
  RunningTeragpt program(endless("5"), terminal);
  read_to_a_checkpoint(program);
  const double begin_s = monotonic_s();
  kill(processes_.all().front(), SIGSTOP);
  kill(processes_.process_of(1), SIGKILL);
  const std::string text = rest_of(program);
  EXPECT_EQ(program.wait(), 1) << text;
  EXPECT_LT(monotonic_s() - begin_s, 20);
  EXPECT_THAT(text, HasSubstr("error: rank 1 does not answer: "));
  processes_.expect_none_left();
}

TEST_F(TrainFaults, CtrlCBeforeTheRanksAreThereLeavesACheckpoint) {
  RunningTeragpt program(endless(), terminal);
  ASSERT_TRUE(program.read_line());  // the run
  program.send(SIGINT);
  const std::string text = rest_of(program);
  EXPECT_EQ(program.wait(), 75) << text;
  EXPECT_EQ(newest_run().state, run::RunState::stopped) << newest_run().detail;
  expect_goes_on();
}

TEST_F(TrainFaults, WhatRankZeroRefusesIsToldWithItsHint) {
  ASSERT_EQ(run_teragpt(train({"--steps", "2"})).exit_code, 75);
  const ProgramResult again = run_teragpt({"train", "--run", newest_run().path.string()});
  EXPECT_EQ(again.exit_code, 2);
  EXPECT_THAT(again.err, HasSubstr("has checkpoints up to step 2"));
  EXPECT_THAT(again.err, HasSubstr("go on with --resume"));
  EXPECT_EQ(newest_run().state, run::RunState::stopped);
  expect_goes_on();
}

// MPI waits for ever for who is stopped before all are together.
TEST_F(TrainFaults, ARankThatIsStoppedBeforeItBeginsIsNamed) {
  start_rank_1_by("", "sh -c 'kill -STOP $$; exec \"$@\"' sh \"$program\" \"$@\"");
  const ProgramResult result = run_teragpt(train({"--timeout", "5"}));
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr("error: rank 1 does not answer: nothing heard of it for 5 s"));
  expect_one_error(result.err);
  processes_.expect_none_left();
  EXPECT_EQ(newest_run().state, run::RunState::failed);
  EXPECT_THAT(newest_run().detail, HasSubstr("rank 1 does not answer"));
}

TEST_F(TrainFaults, ARankThatIsStoppedWhileItWaitsForAnotherIsNamed) {
  start_rank_1_by("", "sh -c 'sleep 2; exec \"$@\"' sh \"$program\" \"$@\"");
  RunningTeragpt program(train({"--timeout", "4"}), terminal);
  while (!program.read_line().value_or("run ").starts_with("run ")) {
  }
  const fs::path alive = newest_run().path / "launch/a001/start-00000";
  for (int i = 0; i < 1500 && (!fs::exists(alive) || fs::file_size(alive) == 0); ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  ASSERT_GT(fs::file_size(alive), 0U);
  kill(processes_.process_of(0), SIGSTOP);
  const std::string text = rest_of(program);
  EXPECT_EQ(program.wait(), 1) << text;
  EXPECT_THAT(text, HasSubstr("error: rank 0 does not answer: nothing heard of it for 4 s"));
  expect_one_error(text);
  processes_.expect_none_left();
}

TEST_F(TrainFaults, ARankOfAnotherProgramIsNamed) {
  start_rank_1_by("cp \"$program\" other; echo >> other", "./other \"$@\"");
  const ProgramResult result = run_teragpt(train());
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr("error: rank 1 runs another program ("));
  EXPECT_THAT(result.err, HasSubstr((root_ / "other").string() + ") than rank 0 ("));
  expect_one_error(result.err);
  EXPECT_EQ(newest_run().state, run::RunState::failed) << newest_run().detail;
}

TEST_F(TrainFaults, ARankOfAnotherSpecIsNamed) {
  start_rank_1_by("cp -r \"$3\" other; sed -i 's/^seed: .*/seed: 99/' other/spec.yaml",
                  "\"$program\" train --run other --rank-of-mpi-job");
  const ProgramResult result = run_teragpt(train());
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr("error: rank 1 has another spec than rank 0"));
  EXPECT_THAT(result.err, HasSubstr("same run directory"));
  expect_one_error(result.err);
}

TEST_F(TrainFaults, ARankWithoutDataIsNamed) {
  start_rank_1_by("mkdir elsewhere",
                  "--wdir " + (root_ / "elsewhere").string() + " \"$program\" \"$@\"");
  const fs::path here = fs::current_path();
  fs::current_path(root_);
  const ProgramResult result =
      run_teragpt(train({"--set", "data.datasets[0].path=/proc/self/cwd/toy"}));
  fs::current_path(here);
  EXPECT_EQ(result.exit_code, 2);
  EXPECT_THAT(result.err, HasSubstr("error: rank 1: "));
  EXPECT_THAT(result.err, HasSubstr("/proc/self/cwd/toy"));
  expect_one_error(result.err);
  EXPECT_EQ(newest_run().state, run::RunState::failed);
}

TEST_F(TrainFaults, WrongHostsAndTimeoutsAreRefused) {
  const ProgramResult timeout = run_teragpt(train({"--timeout", "0"}));
  EXPECT_EQ(timeout.exit_code, 2);
  EXPECT_THAT(timeout.err, HasSubstr("--timeout: got '0', expected"));
  const std::string hosts = (root_ / "hosts").string();
  EXPECT_EQ(run_teragpt(train({"--hostfile", hosts})).exit_code, 2);
  std::ofstream(hosts) << "node1 slots=1\n";
  const ProgramResult few = run_teragpt(train({"--hostfile", hosts}));
  EXPECT_EQ(few.exit_code, 2);
  EXPECT_THAT(few.err, HasSubstr("take 1 ranks, the layout has 2"));
  EXPECT_FALSE(fs::exists(root_ / "runs")) << "nothing was made";
  std::ofstream(hosts) << "node1 slots=1\nnode2 slots=1\n";
  const ProgramResult plan = run_teragpt(train({"--hostfile", hosts, "--dry-run"}));
  EXPECT_EQ(plan.exit_code, 0) << plan.err;
  EXPECT_THAT(plan.out, HasSubstr("--hostfile " + hosts));
  EXPECT_THAT(plan.out, HasSubstr("ends the job after 11 s"));
}

TEST_F(TrainFaults, WhatMpirunSaysIsShownWhenNoRankCouldSpeak) {
  start_rank_1_by("", "./none \"$@\"");
  const ProgramResult result = run_teragpt(train());
  EXPECT_EQ(result.exit_code, 1);
  EXPECT_THAT(result.err, HasSubstr("error: the ranks ended with exit code "));
  EXPECT_THAT(result.err, HasSubstr("./none"));
}

}  // namespace
}  // namespace tera
