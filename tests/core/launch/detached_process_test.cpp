#include "core/launch/detached_process.h"

#include <cstdlib>

#include <fcntl.h>
#include <sys/wait.h>

#include "tests/core/launch/launch_fixture.h"

namespace tera::launch {
namespace {

namespace fs = std::filesystem;

class DetachedProcess : public test::LaunchFixture {
 protected:
  run::ProcessId start(const std::string& body, const std::vector<std::string>& words = {}) {
    DetachedCommand command{.argv = {program(body)},
                            .environment = {"ONLY=this", "PATH=/usr/bin:/bin"},
                            .working_dir = dir_,
                            .log = dir_ / "logs" / "out.log"};
    command.argv.insert(command.argv.end(), words.begin(), words.end());
    const Result<run::ProcessId> process = start_detached(command);
    EXPECT_TRUE(process) << process.error().message;
    if (!process) return {};
    started_.push_back(process->pid);
    return *process;
  }
  std::string log() const { return content(dir_ / "logs" / "out.log"); }
};

TEST_F(DetachedProcess, GetsItsWordsEnvironmentFolderAndLog) {
  start(
      R"(printf '[%s]' "$@"; pwd; echo "only=$ONLY home=$HOME"; echo to stderr >&2; cat; echo end)",
      {"two words", "", "it's"});
  ASSERT_TRUE(eventually([&] { return log().find("end") != std::string::npos; })) << log();
  EXPECT_NE(log().find("[two words][][it's]" + dir_.string()), std::string::npos) << log();
  EXPECT_NE(log().find("only=this home=\n"), std::string::npos) << "nothing else is inherited";
  EXPECT_NE(log().find("to stderr"), std::string::npos);
}

TEST_F(DetachedProcess, LeadsASessionOfItsOwnAndIsNoChildOfOurs) {
  const run::ProcessId process = start("sleep 60");
  EXPECT_NE(getsid(static_cast<pid_t>(process.pid)), getsid(0));
  EXPECT_TRUE(run::is_alive(process));
  errno = 0;
  EXPECT_EQ(waitpid(static_cast<pid_t>(process.pid), nullptr, WNOHANG), -1);
  EXPECT_EQ(errno, ECHILD);
  ASSERT_TRUE(send_signal(process, SIGKILL));
  EXPECT_TRUE(eventually([&] { return !run::is_alive(process); }));
  EXPECT_FALSE(send_signal(process, SIGKILL)) << "gone";
}

TEST_F(DetachedProcess, InheritsNoDescriptorAndNoIgnoredSignal) {
  const int leak = open("/dev/null", O_RDONLY);  // without close-on-exec, as a library might
  ASSERT_GE(leak, 0);
  signal(SIGTERM, SIG_IGN);
  const run::ProcessId process = start("ls -l /proc/$$/fd; echo listed; sleep 60");
  signal(SIGTERM, SIG_DFL);
  ASSERT_TRUE(eventually([&] { return log().find("listed") != std::string::npos; }));
  EXPECT_EQ(log().find(" " + std::to_string(leak) + " -> /dev/null"), std::string::npos) << log();
  close(leak);
  ASSERT_TRUE(send_signal(process, SIGTERM));
  EXPECT_TRUE(eventually([&] { return !run::is_alive(process); })) << "SIGTERM works again";
}

TEST_F(DetachedProcess, AnExecThatFailsIsAnErrorHere) {
  std::ofstream(dir_ / "script") << "#!/no/such/interpreter\n";
  fs::permissions(dir_ / "script", fs::perms::owner_all);
  for (const fs::path& path : {dir_ / "none", dir_ / "script", dir_}) {
    const auto process = start_detached(
        {.argv = {path.string()}, .environment = {}, .working_dir = dir_, .log = dir_ / "log"});
    ASSERT_FALSE(process) << path;
    EXPECT_NE(process.error().message.find(path.string()), std::string::npos);
  }
  const auto no_dir = start_detached({.argv = {"/bin/true"},
                                      .environment = {},
                                      .working_dir = dir_ / "none",
                                      .log = dir_ / "log"});
  EXPECT_FALSE(no_dir);
}

TEST_F(DetachedProcess, SignalsOnlyTheVeryProcess) {
  const run::ProcessId process = start("sleep 60");
  run::ProcessId impostor = process;
  impostor.starttime += 1;
  EXPECT_FALSE(send_signal(impostor, SIGKILL));
  EXPECT_TRUE(run::is_alive(process));
}

}  // namespace
}  // namespace tera::launch
