// A run over two computers, through ssh and TCP: what --hostfile is for.
#include <csignal>
#include <functional>
#include <future>
#include <sstream>

#include <sys/wait.h>

#include <gmock/gmock.h>

#include "core/run/run_state.h"
#include "tests/app/rank_processes.h"
#include "tests/app/train_layouts.h"

namespace tera::train {
namespace {

namespace fs = std::filesystem;
using testing::HasSubstr;

class TwoHosts : public test::TrainLayouts {
 protected:
  struct End {
    int exit_code = -1;
    std::string output;
  };
  // `teragpt train` on the first of the two, in this folder.
  End train_there(const spec::RunSpec& spec) const {
    std::ofstream(root_ / "spec.yaml") << spec::to_yaml(spec);
    fs::create_directories(root_ / "net");
    const std::string command =
        std::getenv("TERA_SOURCE_DIR") + std::string("/tests/app/two_hosts.sh ") +
        (root_ / "net").string() + " " + std::getenv("TERA_BINARY_DIR") +
        "/app/teragpt/teragpt train " + (root_ / "spec.yaml").string() + " --runs-root " +
        runs().string() + " --hostfile " + (root_ / "net" / "hostfile").string() + " > " +
        (root_ / "output").string() + " 2>&1";
    const int status = std::system(command.c_str());
    std::ostringstream text;
    text << std::ifstream(root_ / "output").rdbuf();
    return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), text.str()};
  }
  // Endlessly, but for what `happens` in the third step.
  End train_until(const std::function<void()>& happens) const {
    spec::RunSpec spec = spread_spec();
    spec.training.num_steps = 1'000'000;
    std::future<End> job = std::async(std::launch::async, [&] { return train_there(spec); });
    const auto ended = [&](double seconds) {
      return job.wait_for(std::chrono::duration<double>(seconds)) == std::future_status::ready;
    };
    while (!ended(0.2)) {
      if (!fs::exists(runs()) || fs::is_empty(runs())) continue;
      const Result<run::RunStatus> status = run::run_status(only_run());
      if (!status || status->step < 3) continue;
      happens();
      EXPECT_TRUE(ended(40));
      break;
    }
    return job.get();
  }
  // One stage on one, one on the other, of two ranks each.
  spec::RunSpec spread_spec() const {
    spec::RunSpec spec = one_thread_spec();
    test::LayoutCase{.tp = 2, .ep = 2, .pp = 2}.apply_to(spec);
    return spec;
  }
  fs::path runs() const { return root_ / "runs"; }
  run::RunDirectory only_run() const {
    return run::RunDirectory::planned(posix_vfs(), runs(),
                                      fs::directory_iterator(runs())->path().filename());
  }
};

TEST_F(TwoHosts, TrainLikeOneRank) {
  const spec::RunSpec spec = spread_spec();
  const End end = train_there(spec);
  if (end.exit_code == 77) GTEST_SKIP() << end.output;
  ASSERT_EQ(end.exit_code, 0) << end.output;
  spec::RunSpec one = spec;
  one.layout = one_thread_spec().layout;
  expect_alike(one, train(one), trained(only_run()));
}

TEST_F(TwoHosts, ARankThatDiesOnTheOtherOneEndsAllOfThem) {
  const tera::test::RankProcesses ranks(runs().string());
  const End end = train_until([&] { kill(ranks.process_of(3), SIGKILL); });
  if (end.exit_code == 77) GTEST_SKIP() << end.output;
  EXPECT_EQ(end.exit_code, 1);
  EXPECT_THAT(end.output, HasSubstr("error: rank 3 on tera-b"));
  EXPECT_THAT(end.output, HasSubstr("was ended by signal 9 (Killed)"));
  ranks.expect_none_left();
}

TEST_F(TwoHosts, AComputerThatIsGoneEndsTheOther) {
  const End end = train_until([&] {
    std::ifstream file(root_ / "net" / "hostfile");
    std::string name, slots;
    file >> name >> slots >> name;  // of the second
    EXPECT_EQ(std::system(("ip -n " + name + " link set eth0 down").c_str()), 0);
  });
  if (end.exit_code == 77) GTEST_SKIP() << end.output;
  EXPECT_EQ(end.exit_code, 1);
  EXPECT_THAT(end.output, HasSubstr("error: computer tera-b"));
  tera::test::RankProcesses(runs().string()).expect_none_left(30);
}

}  // namespace
}  // namespace tera::train
