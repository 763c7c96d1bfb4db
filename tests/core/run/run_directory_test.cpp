#include "core/run/run_directory.h"

#include <algorithm>
#include <csignal>
#include <regex>

#include <sys/stat.h>
#include <sys/wait.h>

#include <nlohmann/json.hpp>

#include "core/base/fault_vfs.h"
#include "core/base/hash.h"
#include "core/spec/yaml.h"
#include "tests/core/run/temp_dir.h"
#include "tests/support/scoped_variable.h"

namespace tera::run {
namespace {

namespace fs = std::filesystem;
using tera::test::ScopedVariable;

class RunDirectoryTest : public test::TempDirTest {
 protected:
  static spec::RunSpec make_spec() {
    spec::RunSpec spec;
    spec.name = "toy";
    spec.data.datasets.emplace_back();
    spec.data.datasets.front().path = "data/../corpus/toy";
    spec.layout.schedule_file = "mine.txt";
    return spec;
  }
  RunDirectory create() const {
    Result<RunDirectory> dir = RunDirectory::create(posix_vfs(), dir_ / "runs", make_spec());
    if (!dir) throw std::runtime_error(dir.error().message);
    return *dir;
  }
};

TEST_F(RunDirectoryTest, CreatesAPrivateDirectoryThatReadsBack) {
  const RunDirectory dir = create();
  EXPECT_TRUE(std::regex_match(dir.id(), std::regex(R"(\d{8}-\d{6}-[0-9a-f]{8})"))) << dir.id();
  struct stat status = {};
  ASSERT_EQ(::stat(dir.path().c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0700U);
  const Result<spec::RunSpec> spec = dir.spec();
  ASSERT_TRUE(spec) << spec.error().message;
  spec::RunSpec expected = make_spec();
  expected.data.datasets.front().path = (fs::current_path() / "corpus/toy").string();
  expected.layout.schedule_file = (fs::current_path() / "mine.txt").string();
  EXPECT_EQ(*spec, expected) << "paths are absolute, everything else is as given";

  const auto text = read_text(posix_vfs(), dir.run_file(), 1 << 20);
  ASSERT_TRUE(text);
  const nlohmann::json document = nlohmann::json::parse(*text);
  EXPECT_EQ(document.at("id"), dir.id());
  EXPECT_EQ(document.at("name"), "toy");
  EXPECT_EQ(document.at("spec_sha256"),
            sha256_hex(*read_text(posix_vfs(), dir.spec_file(), 1 << 20)));
  EXPECT_FALSE(document.at("version").get<std::string>().empty());
  EXPECT_EQ(*dir.last_attempt(), 0);
}

TEST_F(RunDirectoryTest, AFailureAtAnyOperationLeavesNothing) {
  ASSERT_TRUE(make_dirs(posix_vfs(), dir_ / "runs"));
  for (std::int64_t k = 0;; ++k) {
    FaultVfs vfs;
    vfs.set_fault(FaultVfs::Fault::short_write, k, ENOSPC);
    const auto dir = RunDirectory::create(vfs, dir_ / "runs", make_spec());
    if (!vfs.fault_hit()) {
      EXPECT_TRUE(dir);
      EXPECT_GT(k, 15);
      break;
    }
    EXPECT_FALSE(dir) << k;
    const bool all_but_durable = fs::exists(dir_ / "runs") && !fs::is_empty(dir_ / "runs");
    if (all_but_durable) {  // only the fsync of the root failed: the run is whole
      EXPECT_EQ(vfs.operations().back().kind, FaultVfs::Kind::sync_dir);
      fs::remove_all(dir_ / "runs");
      ASSERT_TRUE(make_dirs(posix_vfs(), dir_ / "runs"));
    }
  }
}

TEST_F(RunDirectoryTest, OpensByPathIdAndUniquePrefix) {
  const fs::path root = dir_ / "runs";
  const RunDirectory first = *RunDirectory::create(posix_vfs(), root, make_spec(), "20260101-aa");
  ASSERT_TRUE(RunDirectory::create(posix_vfs(), root, make_spec(), "20260101-ab"));
  ASSERT_TRUE(RunDirectory::create(posix_vfs(), root, make_spec(), "20260101-abc"));
  fs::create_directories(root / "20260101-aaa");  // no run: it has no spec.yaml
  const auto open = [&](const std::string& name) {
    return RunDirectory::open(posix_vfs(), name, root);
  };
  EXPECT_EQ(open(first.path().string())->path(), first.path());
  EXPECT_EQ(open(first.path().string() + "/")->id(), "20260101-aa");
  EXPECT_EQ(open("20260101-aa")->path(), first.path());
  EXPECT_EQ(open("20260101-ab")->id(), "20260101-ab") << "a whole id, though others begin with it";
  EXPECT_EQ(open("20260101-abc")->id(), "20260101-abc");
  const auto ambiguous = open("2026");
  ASSERT_FALSE(ambiguous);
  EXPECT_NE(ambiguous.error().message.find("fits 3 runs"), std::string::npos);
  for (const char* name : {"nothing", "", "./20260101-aa"}) {
    const auto missing = open(name);
    ASSERT_FALSE(missing) << name;
    EXPECT_FALSE(missing.error().hint.empty());
  }
}

TEST_F(RunDirectoryTest, DefaultRootFollowsTheEnvironment) {
  const ScopedVariable runs("TERA_RUNS", "/somewhere/runs");
  EXPECT_EQ(default_runs_root(), "/somewhere/runs");
  const ScopedVariable no_runs("TERA_RUNS", std::nullopt);
  const ScopedVariable data("XDG_DATA_HOME", "/data");
  EXPECT_EQ(default_runs_root(), "/data/teragpt/runs");
  const ScopedVariable no_data("XDG_DATA_HOME", std::nullopt);
  EXPECT_TRUE(default_runs_root().string().ends_with(".local/share/teragpt/runs"));
}

TEST_F(RunDirectoryTest, ADamagedSpecIsNamedWithItsLine) {
  const RunDirectory dir = create();
  append(dir.spec_file().lexically_relative(dir_), "modle: {}\n");
  const auto spec = dir.spec();
  ASSERT_FALSE(spec);
  const std::string text = *read_text(posix_vfs(), dir.spec_file(), 1 << 20);
  const auto num_lines = std::count(text.begin(), text.end(), '\n');
  EXPECT_NE(spec.error().message.find("spec.yaml:" + std::to_string(num_lines) + ":"),
            std::string::npos)
      << spec.error().message;
}

TEST_F(RunDirectoryTest, AttemptsCountWhateverTheyLeft) {
  const RunDirectory dir = create();
  write(dir.metrics_file(3).lexically_relative(dir_), "");
  EXPECT_EQ(*dir.last_attempt(), 3);
  fs::create_directories(dir.launch_dir(12));
  EXPECT_EQ(*dir.last_attempt(), 12);
  write(dir.log_file(1234, 5).lexically_relative(dir_), "");
  EXPECT_EQ(*dir.last_attempt(), 1234);
  EXPECT_EQ(dir.log_file(1234, 5).lexically_relative(dir.path()), "logs/a1234/rank-00005.log");
  EXPECT_EQ(dir.metrics_file(7).filename(), "run.a007.jsonl");
}

TEST_F(RunDirectoryTest, TheLauncherChoosesTheAttemptOnce) {
  const RunDirectory dir = create();
  EXPECT_EQ(*dir.attempt_to_start(), 1);
  const ScopedVariable first(kAttemptVariable, "1");
  EXPECT_EQ(*dir.attempt_to_start(), 1) << "nothing prepared: the next one, which is 1 too";
  fs::create_directories(dir.launch_dir(1));
  EXPECT_EQ(*dir.attempt_to_start(), 1) << "prepared by a launcher";
  write(dir.metrics_file(1).lexically_relative(dir_), "");
  EXPECT_EQ(*dir.attempt_to_start(), 2) << "used already";
  for (const char* text : {"0", "-1", "x", "99999999999999", ""}) {
    const ScopedVariable other(kAttemptVariable, text);
    EXPECT_EQ(*dir.attempt_to_start(), 2) << text;
  }
}

TEST_F(RunDirectoryTest, TheLockIsExclusiveAndNamesItsHolder) {
  const RunDirectory dir = create();
  EXPECT_EQ(lock_holder(dir)->process.pid, 0) << "nobody ever held it";
  {
    const Result<RunLock> lock = RunLock::acquire(dir, 4);
    ASSERT_TRUE(lock) << lock.error().message;
    const Result<LockHolder> holder = lock_holder(dir);
    ASSERT_TRUE(holder);
    EXPECT_TRUE(holder->held);
    EXPECT_EQ(holder->process, this_process());
    EXPECT_EQ(holder->attempt, 4);
    const Result<RunLock> second = RunLock::acquire(dir, 5);
    ASSERT_FALSE(second);
    EXPECT_NE(second.error().message.find("process " + std::to_string(getpid())),
              std::string::npos);
    EXPECT_NE(second.error().message.find("attempt 4"), std::string::npos);
  }
  EXPECT_FALSE(lock_holder(dir)->held);
  EXPECT_EQ(lock_holder(dir)->attempt, 4) << "the last holder stays known";
  EXPECT_TRUE(RunLock::acquire(dir, 5));
}

TEST_F(RunDirectoryTest, TheLockDiesWithItsProcess) {
  const RunDirectory dir = create();
  int ready[2];
  ASSERT_EQ(pipe(ready), 0);
  const pid_t child = fork();
  if (child == 0) {
    const Result<RunLock> lock = RunLock::acquire(dir, 1);
    const char ok = lock ? 'y' : 'n';
    if (::write(ready[1], &ok, 1) == 1) pause();
    _exit(0);
  }
  char ok = 0;
  ASSERT_EQ(::read(ready[0], &ok, 1), 1);
  ASSERT_EQ(ok, 'y');
  EXPECT_TRUE(lock_holder(dir)->held);
  EXPECT_EQ(lock_holder(dir)->process.pid, child);
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  EXPECT_FALSE(lock_holder(dir)->held);
  close(ready[0]);
  close(ready[1]);
}

}  // namespace
}  // namespace tera::run
