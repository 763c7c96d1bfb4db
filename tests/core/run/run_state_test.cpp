#include "core/run/run_state.h"

#include <chrono>
#include <cmath>
#include <csignal>

#include <sys/wait.h>

#include <fmt/format.h>

#include "core/run/metric_stream.h"
#include "tests/core/run/temp_dir.h"

namespace tera::run {
namespace {

namespace fs = std::filesystem;

class RunStateTest : public test::TempDirTest {
 protected:
  void SetUp() override {
    spec::RunSpec spec;
    spec.name = "toy";
    spec.training.num_steps = 200;
    Result<RunDirectory> dir = RunDirectory::create(posix_vfs(), dir_ / "runs", spec);
    ASSERT_TRUE(dir) << dir.error().message;
    run_ = *dir;
  }
  void event(const std::string& state, int attempt = 1, const std::string& detail = {}) const {
    ASSERT_TRUE(
        append_event(run_, {.time_s = 1, .attempt = attempt, .state = state, .detail = detail}));
  }
  void record(std::int64_t step, int attempt = 1, double age_s = 5) const {
    MetricRecord record;
    record.time_s =
        std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count() -
        age_s;
    record.attempt = attempt;
    record.step = step;
    record.values = {{"loss", 4.25}, {"tokens_per_s", 1000}};
    Result<MetricWriter> writer = MetricWriter::open(posix_vfs(), run_.metrics_file(attempt));
    ASSERT_TRUE(writer && writer->write(record));
  }
  void job(int attempt, const ProcessId& process) const {
    write(run_.launch_dir(attempt).lexically_relative(dir_) / "job.json",
          fmt::format(R"({{"pid":{},"starttime":{},"boot_id":"{}"}})", process.pid,
                      process.starttime, process.boot_id));
  }
  RunStatus status() const {
    Result<RunStatus> status = run_status(run_);
    EXPECT_TRUE(status) << status.error().message;
    return status ? *status : RunStatus{};
  }

  RunDirectory run_ = RunDirectory::planned(posix_vfs(), "", "");
};

TEST_F(RunStateTest, EventsAppendAndReadBack) {
  event("starting", 1, "start");
  event("checkpoint", 1, "a \"name\"\nwith \xff bytes");
  append(run_.events_file().lexically_relative(dir_), R"({"time_s":3,"att)");  // torn by a crash
  EXPECT_EQ(read_events(run_)->size(), 2U);
  event("completed", 2);
  const Result<std::vector<RunEvent>> events = read_events(run_);
  ASSERT_TRUE(events);
  ASSERT_EQ(events->size(), 3U) << "the torn line spoils no other";
  EXPECT_EQ(events->front().detail, "start");
  EXPECT_EQ(events->back().state, "completed");
  EXPECT_EQ(events->back().attempt, 2);
  EXPECT_EQ(events->back().step, -1);
}

TEST_F(RunStateTest, CreatedUntilSomethingHappens) {
  const RunStatus s = status();
  EXPECT_EQ(s.state, RunState::created);
  EXPECT_EQ(s.name, "toy");
  EXPECT_EQ(s.num_steps, 200);
  EXPECT_TRUE(std::isnan(s.last_loss));
  EXPECT_FALSE(s.alive);
  EXPECT_GT(s.created_s, 1.7e9);
}

TEST_F(RunStateTest, AliveIsStartingThenRunning) {
  const Result<RunLock> lock = RunLock::acquire(run_, 1);
  ASSERT_TRUE(lock);
  event("starting");
  RunStatus s = status();
  EXPECT_EQ(s.state, RunState::starting);
  EXPECT_TRUE(s.alive);
  EXPECT_EQ(s.pid, getpid());
  record(12);
  s = status();
  EXPECT_EQ(s.state, RunState::running);
  EXPECT_EQ(s.step, 12);
  EXPECT_EQ(s.last_loss, 4.25);
  EXPECT_EQ(s.tokens_per_s, 1000);
  EXPECT_NE(s.detail.find("last record 5"), std::string::npos) << s.detail;
  EXPECT_NE(s.detail.find("alive"), std::string::npos);
}

TEST_F(RunStateTest, AResumedAttemptIsStartingUntilItsOwnFirstStep) {
  record(50, 1);
  event("stopped", 1);
  const Result<RunLock> lock = RunLock::acquire(run_, 2);
  ASSERT_TRUE(lock);
  event("starting", 2);
  EXPECT_EQ(status().state, RunState::starting);
  record(51, 2);
  EXPECT_EQ(status().state, RunState::running);
  EXPECT_EQ(status().attempt, 2);
}

TEST_F(RunStateTest, EndsAreWhatTheLogSays) {
  for (const auto& [name, state] :
       {std::pair{"completed", RunState::completed}, std::pair{"stopped", RunState::stopped},
        std::pair{"failed", RunState::failed}}) {
    event("starting");
    record(7);
    event(name, 1, std::string("because of ") + name);
    event("checkpoint");  // says nothing about the state
    EXPECT_EQ(status().state, state);
    EXPECT_EQ(status().detail, std::string("because of ") + name);
    EXPECT_EQ(run_state_name(status().state), name);
  }
}

TEST_F(RunStateTest, AKilledProcessHasDied) {
  const pid_t child = fork();
  if (child == 0) {
    const Result<RunLock> lock = RunLock::acquire(run_, 1);
    static_cast<void>(append_event(run_, {.time_s = 1, .attempt = 1, .state = "starting"}));
    raise(SIGKILL);
  }
  waitpid(child, nullptr, 0);
  record(9);
  const RunStatus s = status();
  EXPECT_EQ(s.state, RunState::died);
  EXPECT_FALSE(s.alive);
  EXPECT_NE(s.detail.find("process " + std::to_string(child) + " is gone"), std::string::npos)
      << s.detail;
  EXPECT_NE(s.detail.find("step 9"), std::string::npos);
  event("note", 1, "was killed on request");
  EXPECT_NE(status().detail.find(std::to_string(child) + " was killed on request"),
            std::string::npos)
      << status().detail;
}

TEST_F(RunStateTest, ALaunchedProcessThatNeverBeganIsSeen) {
  event("stopped", 1);
  record(5, 1);
  job(2, this_process());
  RunStatus s = status();
  EXPECT_EQ(s.state, RunState::starting) << "it lives, but has not taken the lock yet";
  EXPECT_EQ(s.pid, getpid());
  ProcessId gone = this_process();
  gone.starttime -= 1;
  job(2, gone);
  s = status();
  EXPECT_EQ(s.state, RunState::died);
  EXPECT_NE(s.detail.find("logs/a002/rank-00000.log"), std::string::npos) << s.detail;
  write(run_.launch_dir(2).lexically_relative(dir_) / "job.json", "rubbish");
  EXPECT_EQ(status().state, RunState::stopped) << "an unreadable note is no evidence";
}

TEST_F(RunStateTest, ListsNewestFirstAndDropsNothing) {
  ASSERT_TRUE(RunDirectory::create(posix_vfs(), dir_ / "runs", spec::RunSpec{}, "later"));
  write("runs/broken/spec.yaml", "]");
  write("runs/no-run/file", "");
  const Result<RunList> list = list_runs(posix_vfs(), dir_ / "runs");
  ASSERT_TRUE(list);
  ASSERT_EQ(list->runs.size(), 2U);
  EXPECT_EQ(list->runs.front().id, "later");
  EXPECT_EQ(list->runs.back().id, run_.id());
  ASSERT_EQ(list->problems.size(), 1U);
  EXPECT_EQ(list->problems.front().rfind("broken: ", 0), 0U) << list->problems.front();
  EXPECT_TRUE(list_runs(posix_vfs(), dir_ / "none")->runs.empty());
}

}  // namespace
}  // namespace tera::run
