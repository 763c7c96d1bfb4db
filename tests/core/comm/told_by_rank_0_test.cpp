#include "core/comm/told_by_rank_0.h"

#include <gtest/gtest.h>

#include "tests/support/spawn_ranks.h"

namespace tera::comm {
namespace {

TEST(ToldByRank0, IsTheTextOfRank0WhateverItsLength) {
  std::string long_text(100'000, 'x');
  long_text.back() = '\0';
  for (const std::string& text : {std::string(), std::string("a run"), long_text}) {
    for (const int ranks : {1, 3}) {
      tera::test::spawn_ranks(ranks, [&](Communicator& world) {
        EXPECT_EQ(told_by_rank_0(world, world.rank() == 0 ? text : "mine"), text);
        EXPECT_EQ(told_by_rank_0(world, world.rank() == 0 ? text : ""), text);
      });
    }
  }
}

}  // namespace
}  // namespace tera::comm
