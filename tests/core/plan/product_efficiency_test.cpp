// Shapes whose tiles can be counted by hand.
#include "core/plan/product_efficiency.h"

#include <gtest/gtest.h>

namespace tera::plan {
namespace {

spec::DeviceSpec device(int num_multiprocessors) {
  spec::DeviceSpec made;
  made.num_multiprocessors = num_multiprocessors;
  return made;
}

TEST(ProductEfficiency, WholeWavesOfLargeTilesLoseTheFillAlone) {
  // 16 x 8 tiles of 256 x 128 on 128 units: one wave.
  EXPECT_DOUBLE_EQ(product_efficiency(device(128), {.rows = 4096, .columns = 1024, .depth = 4032}),
                   4032.0 / 4096);
}

// One tile more than the units hold costs a second wave; smaller tiles soften it, never above 1.
TEST(ProductEfficiency, ATileMoreThanAWaveIsFeltAndSoftened) {
  const double whole =
      product_efficiency(device(128), {.rows = 4096, .columns = 1024, .depth = 8192});
  const double more =
      product_efficiency(device(128), {.rows = 4097, .columns = 1024, .depth = 8192});
  EXPECT_LT(more, 0.95 * whole);
  EXPECT_GT(more, 0.5 * whole);
}

TEST(ProductEfficiency, RisesWithDepth) {
  double before = 0;
  for (const double depth : {64.0, 256.0, 1024.0, 4096.0}) {
    const double now =
        product_efficiency(device(108), {.rows = 8192, .columns = 8192, .depth = depth});
    EXPECT_GT(now, before) << depth;
    EXPECT_LT(now, 1) << depth;
    before = now;
  }
}

// Half of each tile is empty when experts have 32 rows and the smallest tile 64.
TEST(ProductEfficiency, ExpertsWithFewRowsFillTheirTilesBadly) {
  const double many = product_efficiency(
      device(132), {.rows = 64 * 2048, .columns = 2048, .depth = 4096, .groups = 64});
  const double few = product_efficiency(
      device(132), {.rows = 64 * 32, .columns = 2048, .depth = 4096, .groups = 64});
  EXPECT_LT(few, 0.5 * many);
  EXPECT_NEAR(few / many, 0.5 * 0.85, 0.03);
}

TEST(ProductEfficiency, ADeviceWithoutMultiprocessorsAndAnEmptyProductLoseNothing) {
  EXPECT_EQ(product_efficiency(device(0), {.rows = 3, .columns = 5, .depth = 7}), 1);
  EXPECT_EQ(product_efficiency(device(108), {.rows = 0, .columns = 5, .depth = 7}), 1);
}

}  // namespace
}  // namespace tera::plan
