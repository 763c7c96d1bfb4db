#include <thread>

#include <nlohmann/json.hpp>

#include "core/launch/launcher.h"
#include "core/run/run_state.h"
#include "tests/core/launch/launch_fixture.h"

namespace tera::launch {
namespace {

namespace fs = std::filesystem;

class LocalLauncher : public test::LaunchFixture {
 protected:
  Result<std::int64_t> launch(const std::string& teragpt) {
    TERA_TRY(const LaunchScript script, launcher_->render(run_, {.program = teragpt}));
    Result<std::int64_t> pid = launcher_->start(run_, script);
    if (pid) started_.push_back(*pid);
    return pid;
  }
  std::string log(int attempt) const { return content(run_.log_file(attempt, 0)); }
  run::RunState state() const { return run::run_status(run_)->state; }

  std::unique_ptr<Launcher> launcher_ = make_local_launcher({.stop_wait_s = 0.5});
};

TEST_F(LocalLauncher, StartsRecordsAndRunsWhatWasRendered) {
  const std::string teragpt = program(R"(echo "TERA_ATTEMPT=$TERA_ATTEMPT $0 $*"; sleep 60)");
  const Result<LaunchScript> script = launcher_->render(run_, {.program = teragpt});
  ASSERT_TRUE(script);
  const Result<std::int64_t> pid = launcher_->start(run_, *script);
  ASSERT_TRUE(pid) << pid.error().message;
  started_.push_back(*pid);
  ASSERT_TRUE(eventually([&] { return !log(1).empty(); }));
  EXPECT_EQ(log(1), script->command_line() + "\n");
  EXPECT_EQ(content(run_.path() / script->files[1].first), script->files[1].second);
  const auto job = nlohmann::json::parse(content(run_.launch_dir(1) / "job.json"));
  EXPECT_EQ(job.at("pid"), *pid);
  EXPECT_EQ(job.at("hash"), script->hash);
  const auto process = run::launched_process(run_, 1);
  ASSERT_TRUE(process.has_value());
  EXPECT_TRUE(run::is_alive(*process));
  EXPECT_EQ(state(), run::RunState::starting);
}

TEST_F(LocalLauncher, NeverTwoAtOnce) {
  const std::string teragpt = program("sleep 60");
  // Ten at the same moment: one wins, the others are told so.
  std::atomic<int> num_started{0};
  std::atomic<int> num_refused{0};
  std::mutex mutex;
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 10; ++i) {
      threads.emplace_back([&] {
        const auto own = make_local_launcher();
        const auto script = own->render(run_, {.program = teragpt});
        const auto pid = script ? own->start(run_, *script)
                                : Result<std::int64_t>(tl::unexpected<Error>(script.error()));
        (pid ? num_started : num_refused) += 1;
        const std::scoped_lock lock(mutex);
        if (pid) started_.push_back(*pid);
      });
    }
  }
  EXPECT_EQ(num_started, 1);
  EXPECT_EQ(num_refused, 9);
  const auto again = launch(teragpt);
  ASSERT_FALSE(again);
  EXPECT_NE(again.error().message.find(std::to_string(started_.front())), std::string::npos)
      << again.error().message;
  EXPECT_EQ(*run_.last_attempt(), 1);
}

TEST_F(LocalLauncher, RefusesWhileTheLockIsHeldByHand) {
  const Result<run::RunLock> lock = run::RunLock::acquire(run_, 1);
  ASSERT_TRUE(lock);
  const auto refused = launch(program("sleep 60"));
  ASSERT_FALSE(refused);
  EXPECT_EQ(*run_.last_attempt(), 0);
}

TEST_F(LocalLauncher, RefusesAScriptThatIsOutOfDate) {
  const std::string teragpt = program("exit 0");
  const auto script = launcher_->render(run_, {.program = teragpt});
  ASSERT_TRUE(script);
  fs::create_directories(run_.launch_dir(1));
  EXPECT_FALSE(launcher_->start(run_, *script)) << "another attempt came between";
  const auto second = launcher_->render(run_, {.program = teragpt});
  ASSERT_TRUE(second);
  std::ofstream(run_.spec_file(), std::ios::app) << "# changed\n";
  const auto changed = launcher_->start(run_, *second);
  ASSERT_FALSE(changed);
  EXPECT_NE(changed.error().message.find("spec.yaml"), std::string::npos);
}

TEST_F(LocalLauncher, StopAsksOnceAndWaits) {
  const std::string teragpt = program(
      "n=0\ntrap 'n=$((n+1)); echo asked $n' TERM\necho ready\n"
      "while [ $n -lt 1 ] || [ ! -e go ]; do sleep 0.02; done\necho left");
  ASSERT_TRUE(launch(teragpt));
  ASSERT_TRUE(eventually([&] { return log(1).find("ready") != std::string::npos; }));
  for (int i = 0; i < 2; ++i) {  // it takes its time: both calls wait in vain, one asks
    const Result<void> stopped = launcher_->stop(run_, false);
    ASSERT_FALSE(stopped);
    EXPECT_NE(stopped.error().message.find("has not left after"), std::string::npos);
  }
  std::ofstream(run_.path() / "go") << "";
  EXPECT_TRUE(eventually([&] { return log(1).find("left") != std::string::npos; }));
  EXPECT_NE(log(1).find("asked 1"), std::string::npos);
  EXPECT_EQ(log(1).find("asked 2"), std::string::npos) << "a second signal would end it at once";
  ASSERT_TRUE(eventually([&] { return state() == run::RunState::died; }));
  const Result<void> late = launcher_->stop(run_, false);
  ASSERT_FALSE(late);
  EXPECT_NE(late.error().message.find("is not running"), std::string::npos) << late.error().message;
}

TEST_F(LocalLauncher, ForceKillsWhatDoesNotListen) {
  ASSERT_TRUE(launch(program("trap '' TERM\necho ready\nwhile :; do sleep 0.02; done")));
  ASSERT_TRUE(eventually([&] { return log(1).find("ready") != std::string::npos; }));
  EXPECT_FALSE(launcher_->stop(run_, false));
  const Result<void> killed = launcher_->stop(run_, true);
  EXPECT_TRUE(killed) << killed.error().message;
  EXPECT_EQ(state(), run::RunState::died);
  EXPECT_EQ(run::read_events(run_)->back().detail, "was killed on request");
  ASSERT_TRUE(launch(program("sleep 60"))) << "and it can be started again";
  EXPECT_EQ(*run_.last_attempt(), 2);
}

TEST_F(LocalLauncher, AProgramThatEndsAtOnceIsSeenAsDied) {
  ASSERT_TRUE(launch(program("echo no such data >&2; exit 2")));
  ASSERT_TRUE(eventually([&] { return state() == run::RunState::died; }));
  EXPECT_NE(run::run_status(run_)->detail.find("logs/a001/rank-00000.log"), std::string::npos);
  ASSERT_TRUE(eventually([&] { return log(1).find("no such data") != std::string::npos; }));
}

}  // namespace
}  // namespace tera::launch
