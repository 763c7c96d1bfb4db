// Element types of files into those of checkpoints, and arrangement of rows.
#pragma once
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "core/checkpoint/hugging_face_names.h"
#include "kernels/dtype.h"

namespace tera::checkpoint {

// Converts f64, f32, f16, bf16 or fp8_e4m3 to f32 or bf16 (nearest even).
std::vector<std::byte> convert_elements(std::span<const std::byte> bytes, DType from, DType to);

// Index of the first f32 or bf16 element that is infinite or not a number.
std::optional<std::int64_t> first_not_finite(std::span<const std::byte> bytes, DType dtype);

// Shape of the scales of a tensor: one for each block of block_size x block_size of a matrix, the
// last two dims; leading dims (experts) are kept.
std::vector<std::int64_t> block_scales_shape(std::vector<std::int64_t> shape,
                                             std::int64_t block_size);
// Multiplies the matrices of a tensor f32 by their scales. Throws ContractError unless there are as
// many scales as block_scales_shape says.
void scale_blocks(std::span<float> values,
                  std::span<const std::int64_t> shape,
                  std::span<const float> scales,
                  std::int64_t block_size);

// Between a file's tensor and the rows of the parameter it fills (a matrix of `columns` elements of
// element_bytes per row).
void place_rows(const ForeignTensor& tensor,
                std::span<const std::byte> file_bytes,
                std::int64_t columns,
                std::int64_t element_bytes,
                std::span<std::byte> param);
void take_rows(const ForeignTensor& tensor,
               std::span<const std::byte> param,
               std::int64_t columns,
               std::int64_t element_bytes,
               std::span<std::byte> file_bytes);

}  // namespace tera::checkpoint
