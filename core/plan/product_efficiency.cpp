#include "core/plan/product_efficiency.h"

#include <algorithm>
#include <cmath>

namespace tera::plan {
namespace {

// The tiles that libraries choose among. Source: NVIDIA, Matrix Multiplication Background User's
// Guide, section 2.2.
struct Tile {
  double rows, columns;
};
constexpr Tile kTiles[] = {{256, 128}, {128, 256}, {128, 128}, {128, 64}, {64, 128}, {64, 64}};
constexpr double kSplits[] = {1, 2, 4};  // of the depth

// Depth whose time a tile takes to begin and to end: two stages of 32, copied before the first
// product and after the last. Source: CUTLASS documentation, "Efficient GEMM", pipelining.
constexpr double kFillDepth = 64;

// Small tiles read their operands more often: a tile of m x n needs (1/m + 1/n) elements for each
// product.
double tile_speed(const Tile& tile, double operand_cost) {
  const auto cost = [operand_cost](double rows, double columns) {
    return 1 + operand_cost * (1 / rows + 1 / columns);
  };
  return cost(kTiles[0].rows, kTiles[0].columns) / cost(tile.rows, tile.columns);
}

}  // namespace

ProductNumbers product_numbers(const spec::DeviceSpec& device, spec::Precision precision) {
  const double fp8 = device.peak_flops_per_s_fp8 * device.fp8_efficiency;
  switch (precision) {
    case spec::Precision::fp8_tensor:
    case spec::Precision::fp8_block:
      return {fp8, 1};
    case spec::Precision::mxfp8:
      return {fp8, 1 + 1.0 / 32};  // a scale of 1 B for 32
    case spec::Precision::nvfp4:
      return {device.peak_flops_per_s_fp4 * device.fp4_efficiency, 0.5 + 1.0 / 16};  // for 16
    default:
      return {};
  }
}

double product_efficiency(const spec::DeviceSpec& device,
                          const ProductShape& shape,
                          double operand_cost) {
  const double units = device.num_multiprocessors;
  if (units <= 0 || shape.rows <= 0 || shape.columns <= 0 || shape.depth <= 0) return 1;
  const double rows = shape.rows / shape.groups;
  double best = 0;
  for (const Tile& tile : kTiles) {
    const double tiles =
        std::ceil(rows / tile.rows) * std::ceil(shape.columns / tile.columns) * shape.groups;
    const double needed = shape.rows * shape.columns / (tile.rows * tile.columns);
    for (const double split : kSplits) {
      const double waves = std::ceil(tiles * split / units) / split;
      const double depth = shape.depth / split;
      best = std::max(best, needed / (waves * units) * depth / (depth + kFillDepth) *
                                tile_speed(tile, operand_cost));
    }
  }
  return std::min(best, 1.0);
}

}  // namespace tera::plan
