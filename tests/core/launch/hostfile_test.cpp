#include "core/launch/hostfile.h"

#include <fstream>

#include <gtest/gtest.h>

#include "tests/support/temp_dir.h"

namespace tera::launch {
namespace {

class Hostfile : public testing::Test {
 protected:
  Result<std::vector<HostSlots>> read(const std::string& text) const {
    std::ofstream(dir_ / "hosts") << text;
    return read_hostfile(posix_vfs(), dir_ / "hosts");
  }

  const tera::test::TempDir dir_;
};

TEST_F(Hostfile, NamesComputersAndTheirRanks) {
  const auto hosts = read("# two of them\n\nnode1 slots=2\n  10.0.0.7   slots=16  # the big one\n");
  ASSERT_TRUE(hosts) << hosts.error().message;
  EXPECT_EQ(*hosts, (std::vector<HostSlots>{{"node1", 2}, {"10.0.0.7", 16}}));
  EXPECT_EQ(total_slots(*hosts), 18);
}

TEST_F(Hostfile, WhatIsWrongIsNamedWithItsLine) {
  for (const char* line :
       {"node1", "node1 slots", "node1 slots=", "node1 slots=0", "node1 slots=-1", "node1 slots=2x",
        "node1 slots=99999999999", "node1 max_slots=2", "node1 slots=1 2", "node0 slots=3"}) {
    const auto hosts = read(std::string("node0 slots=1\n") + line + "\n");
    ASSERT_FALSE(hosts) << line;
    EXPECT_EQ(hosts.error().code, ErrorCode::invalid_input);
    EXPECT_NE(hosts.error().message.find(std::string("hosts:2: got '") + line), std::string::npos)
        << hosts.error().message;
  }
  EXPECT_NE(read("# none\n").error().message.find("names no computer"), std::string::npos);
  EXPECT_EQ(read_hostfile(posix_vfs(), dir_ / "none").error().code, ErrorCode::not_found);
}

}  // namespace
}  // namespace tera::launch
