#include "core/tensor/arena.h"

#include <cstdint>
#include <cstring>
#include <new>
#include <random>

#include <gtest/gtest.h>

namespace tera {
namespace {

struct Block {
  std::byte* data;
  std::size_t bytes;
};

TEST(Arena, BlocksAreAlignedAndApart) {
  Arena arena;
  std::vector<Block> blocks;
  for (const std::size_t bytes : {0, 1, 63, 64, 65, 1000, 4097, 100001, 9 << 20}) {
    blocks.push_back({arena.take(bytes), bytes});
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(blocks.back().data) % Arena::kAlignment, 0U);
    std::memset(blocks.back().data, static_cast<int>(blocks.size()), bytes);
  }
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    for (std::size_t b = 0; b < blocks[i].bytes; ++b)
      ASSERT_EQ(std::to_integer<std::size_t>(blocks[i].data[b]), i + 1) << i << " at " << b;
  }
}

TEST(Arena, NeighboursJoinForOtherShapes) {
  Arena arena;
  std::byte* const first = arena.take(1 << 20);
  std::byte* const second = arena.take(2 << 20);
  std::byte* const third = arena.take(1 << 20);
  std::byte* const last = arena.take(64);
  arena.give_back(first, 1 << 20);
  arena.give_back(third, 1 << 20);
  EXPECT_NE(arena.take(3 << 20), first) << "two pieces apart";
  arena.give_back(second, 2 << 20);
  EXPECT_EQ(arena.take(4 << 20), first) << "one piece";
  EXPECT_GT(last, third);
}

TEST(Arena, TakesTheSmallestRangeThatHoldsIt) {
  Arena arena;
  std::byte* const large = arena.take(1 << 20);
  std::byte* const fence = arena.take(64);
  std::byte* const small = arena.take(4096);
  arena.take(64);
  arena.give_back(large, 1 << 20);
  arena.give_back(small, 4096);
  EXPECT_EQ(arena.take(4000), small);
  EXPECT_EQ(arena.take(4000), large);
  EXPECT_GT(fence, large);
}

TEST(Arena, HighBlocksLieSideBySideBelowTheEndOfUse) {
  Arena arena;
  std::byte* const kept = arena.take(1 << 20);
  std::byte* const lower = arena.take(2 << 20);
  std::byte* const upper = arena.take(1 << 20);
  arena.give_back(upper, 1 << 20);
  EXPECT_EQ(arena.take_high(1 << 19), upper + (1 << 19));
  arena.give_back(lower, 2 << 20);
  EXPECT_EQ(arena.take_high(2 << 20), lower + (1 << 19)) << "touches the one before";
  EXPECT_EQ(arena.take_high(1 << 19), lower);
  EXPECT_GT(arena.take_high(64), upper) << "nothing that was used is free";
  EXPECT_LT(kept, lower);
}

TEST(Arena, HighBlocksDoNotReachIntoWhatWasNeverUsed) {
  Arena arena;
  std::byte* const only = arena.take(1 << 20);
  arena.give_back(only, 1 << 20);
  EXPECT_EQ(arena.take_high(4096), only + (1 << 20) - 4096);
  EXPECT_EQ(arena.take(1 << 20), only + (1 << 20)) << "the range above it is whole";
}

TEST(Arena, EveryByteComesBack) {
  const unsigned seed = std::random_device()();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(seed);
  Arena arena;
  std::byte* const start = arena.take(1 << 20);
  arena.give_back(start, 1 << 20);
  std::vector<Block> live;
  for (int i = 0; i < 3000; ++i) {
    if (live.size() > 50 || (!live.empty() && random() % 2 == 0)) {
      const std::size_t at = random() % live.size();
      const Block block = live[at];
      for (const std::size_t b : {std::size_t{0}, block.bytes / 2, block.bytes - 1})
        ASSERT_EQ(block.data[b], static_cast<std::byte>(block.bytes)) << "somebody else wrote here";
      arena.give_back(block.data, block.bytes);
      live.erase(live.begin() + static_cast<std::ptrdiff_t>(at));
    } else {
      const std::size_t bytes = 1 + random() % 100000;
      live.push_back({random() % 2 == 0 ? arena.take(bytes) : arena.take_high(bytes), bytes});
      std::memset(live.back().data, static_cast<int>(bytes), bytes);
    }
  }
  for (const Block& block : live)
    arena.give_back(block.data, block.bytes);
  EXPECT_EQ(arena.take(std::size_t{64} << 20U), start) << "all in one piece again";
}

TEST(Arena, MemoryBeyondTheMachineIsRefused) {
  Arena arena;
  EXPECT_THROW(arena.take(std::size_t{1} << 60U), std::bad_alloc);
  EXPECT_NE(arena.take(100), nullptr);
}

}  // namespace
}  // namespace tera
