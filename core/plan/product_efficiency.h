// How much of the speed of large matrix products a device reaches on one of a given shape.
#pragma once
#include "core/plan/time_constants.h"
#include "core/spec/cluster.h"
#include "core/spec/training_config.h"

namespace tera::plan {

// y [rows, columns] = x [rows, depth] w [depth, columns], once for each group: the experts of a
// layer, whose rows are shared out among them.
struct ProductShape {
  double rows = 0;  // of all groups
  double columns = 0;
  double depth = 0;
  double groups = 1;
};

// Speed that large products of 8 or 4 bits reach, and bytes of an operand's element with its
// scales; 0 B for a precision whose products are as wide as its activations.
struct ProductNumbers {
  double flops_per_s = 0;
  double element_bytes = 0;
};
ProductNumbers product_numbers(const spec::DeviceSpec& device, spec::Precision precision);

// Between 0 and 1. A device with multiprocessors computes the product in tiles, as many at a time
// as it has multiprocessors: the last wave, and tiles at the edges, are computed whole even where
// little of them is needed. A library takes the tile that suits best; depth may be split where
// tiles are few, and its first steps fill the tile's pipeline. 1 for a device without
// multiprocessors. Source: NVIDIA, Matrix Multiplication Background User's Guide, sections 2 and 3
// (tile and wave quantization).
// operand_cost: what small tiles lose (FittedTimes).
double product_efficiency(const spec::DeviceSpec& device,
                          const ProductShape& shape,
                          double operand_cost = kOperandCost.value);

}  // namespace tera::plan
