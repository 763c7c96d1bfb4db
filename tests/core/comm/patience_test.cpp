#include "core/comm/patience.h"

#include <gtest/gtest.h>

namespace tera::comm {
namespace {

TEST(Patience, KnowsHowLongItWaited) {
  for (const bool has_processor : {false, true}) {
    Patience patience(has_processor);
    while (patience.waited_s() < 0.02)
      patience.pause();
    const double waited_s = patience.waited_s();
    EXPECT_LE(waited_s, monotonic_s() - patience.start_s());
  }
}

// A message that comes at once costs no look at what else there is.
TEST(Patience, ListensNowAndThen) {
  Patience patience;
  int times = 0;
  for (int turn = 0; turn < 128; ++turn, patience.pause())
    times += patience.listens() ? 1 : 0;
  EXPECT_EQ(times, 2);
  EXPECT_FALSE(Patience().listens());
}

}  // namespace
}  // namespace tera::comm
