#include "core/run/process.h"

#include <csignal>

#include <sys/wait.h>
#include <unistd.h>

#include <gtest/gtest.h>

namespace tera::run {
namespace {

TEST(ProcessId, ThisProcessIsAliveAndNobodyElseIsIt) {
  const ProcessId self = this_process();
  EXPECT_EQ(self.pid, getpid());
  EXPECT_GT(self.starttime, 0);
  EXPECT_EQ(self.boot_id.size(), 36U) << self.boot_id;
  EXPECT_TRUE(is_alive(self));
  ProcessId other = self;
  other.starttime += 1;  // a later process with the same pid
  EXPECT_FALSE(is_alive(other));
  other = self;
  other.boot_id = "00000000-0000-0000-0000-000000000000";  // before a reboot, or another machine
  EXPECT_FALSE(is_alive(other));
  EXPECT_FALSE(is_alive({}));
  EXPECT_FALSE(find_process(-1).has_value());
  EXPECT_FALSE(find_process(std::int64_t{1} << 40).has_value());
}

TEST(ProcessId, AZombieIsNotAlive) {
  const pid_t child = fork();
  if (child == 0) pause();
  ASSERT_GT(child, 0);
  const std::optional<ProcessId> process = find_process(child);
  ASSERT_TRUE(process.has_value());
  EXPECT_TRUE(is_alive(*process));
  kill(child, SIGKILL);
  siginfo_t info = {};
  ASSERT_EQ(waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT), 0);
  EXPECT_EQ(kill(child, 0), 0) << "it still has its pid";
  EXPECT_FALSE(is_alive(*process));
  waitpid(child, nullptr, 0);
  EXPECT_FALSE(is_alive(*process));
}

}  // namespace
}  // namespace tera::run
