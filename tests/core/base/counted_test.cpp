#include "core/base/counted.h"

#include <gtest/gtest.h>

namespace tera {
namespace {

TEST(Counted, HasTheNounsNumber) {
  EXPECT_EQ(counted(1, "device"), "1 device");
  EXPECT_EQ(counted(0, "device"), "0 devices");
  EXPECT_EQ(counted(16384, "device"), "16,384 devices");
  EXPECT_EQ(counted(1, "batch", "es"), "1 batch");
  EXPECT_EQ(counted(2, "batch", "es"), "2 batches");
}

}  // namespace
}  // namespace tera
