#include "core/checkpoint/element_convert.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "core/base/check.h"
#include "kernels/bf16.h"
#include "kernels/f16.h"

namespace tera::checkpoint {
namespace {

using kernels::Bf16;
using kernels::F16;

template <class T>
T load(const std::byte* bytes) {
  T value;
  std::memcpy(&value, bytes, sizeof(T));
  return value;
}

// 1 sign, 4 exponent (bias 7), 3 fraction bits; no infinities, all ones is not a number.
// Source: Micikevicius et al. 2022, FP8 Formats for Deep Learning, table 1.
float from_fp8_e4m3(std::uint8_t bits) {
  const float sign = (bits & 0x80U) != 0 ? -1.0F : 1.0F;
  const int exponent = static_cast<int>((bits >> 3U) & 0xFU);
  const auto fraction = static_cast<float>(bits & 0x7U);
  if ((bits & 0x7FU) == 0x7FU) return std::nanf("");
  if (exponent == 0) return sign * std::ldexp(fraction, -9);
  return sign * std::ldexp(8.0F + fraction, exponent - 10);
}

float decode(const std::byte* bytes, DType dtype) {
  switch (dtype) {
    case DType::f64:
      return static_cast<float>(load<double>(bytes));
    case DType::f32:
      return load<float>(bytes);
    case DType::bf16:
      return static_cast<float>(load<Bf16>(bytes));
    case DType::f16:
      return static_cast<float>(load<F16>(bytes));
    case DType::fp8_e4m3:
      return from_fp8_e4m3(load<std::uint8_t>(bytes));
    default:
      TERA_CHECK(false, "elements of type {} are no weights", dtype_name(dtype));
  }
}

}  // namespace

std::vector<std::byte> convert_elements(std::span<const std::byte> bytes, DType from, DType to) {
  TERA_CHECK(to == DType::f32 || to == DType::bf16, "conversion to {}", dtype_name(to));
  if (from == to) return {bytes.begin(), bytes.end()};
  const auto from_bytes = static_cast<std::size_t>(dtype_bytes(from));
  const auto to_bytes = static_cast<std::size_t>(dtype_bytes(to));
  const std::size_t count = bytes.size() / from_bytes;
  std::vector<std::byte> converted(count * to_bytes);
  for (std::size_t i = 0; i < count; ++i) {
    const float value = decode(bytes.data() + i * from_bytes, from);
    if (to == DType::f32) {
      std::memcpy(converted.data() + i * to_bytes, &value, sizeof(value));
    } else {
      const Bf16 rounded(value);
      std::memcpy(converted.data() + i * to_bytes, &rounded, sizeof(rounded));
    }
  }
  return converted;
}

std::optional<std::int64_t> first_not_finite(std::span<const std::byte> bytes, DType dtype) {
  const auto element_bytes = static_cast<std::size_t>(dtype_bytes(dtype));
  // The exponent bits of both types lie in their upper 16 bits.
  for (std::size_t at = 0; at < bytes.size(); at += element_bytes) {
    const auto upper = load<std::uint16_t>(bytes.data() + at + element_bytes - 2);
    if ((upper & 0x7F80U) == 0x7F80U) return static_cast<std::int64_t>(at / element_bytes);
  }
  return std::nullopt;
}

std::vector<std::int64_t> block_scales_shape(std::vector<std::int64_t> shape,
                                             std::int64_t block_size) {
  for (std::size_t dim = shape.size() > 2 ? shape.size() - 2 : 0; dim < shape.size(); ++dim)
    shape[dim] = (shape[dim] + block_size - 1) / block_size;
  return shape;
}

void scale_blocks(std::span<float> values,
                  std::span<const std::int64_t> shape,
                  std::span<const float> scales,
                  std::int64_t block_size) {
  TERA_CHECK(!shape.empty(), "scales of a tensor without dims");
  const std::int64_t columns = shape.back();
  const std::int64_t rows = shape.size() > 1 ? shape[shape.size() - 2] : 1;
  const std::int64_t block_columns = (columns + block_size - 1) / block_size;
  const std::int64_t matrix_scales = (rows + block_size - 1) / block_size * block_columns;
  const std::int64_t matrices = std::ssize(values) / (rows * columns);
  TERA_CHECK(std::ssize(scales) == matrices * matrix_scales,
             "{} scales for {} matrices of {} x {} in blocks of {}", scales.size(), matrices, rows,
             columns, block_size);
  for (std::int64_t i = 0; i < std::ssize(values); ++i) {
    const std::int64_t row = i / columns % rows;
    const std::int64_t scale = i / (rows * columns) * matrix_scales +
                               row / block_size * block_columns + i % columns / block_size;
    values[static_cast<std::size_t>(i)] *= scales[static_cast<std::size_t>(scale)];
  }
}

namespace {

// Calls move(byte in the file's tensor, byte in the parameter, bytes) for every run of elements.
template <class Move>
void for_each_run(const ForeignTensor& tensor,
                  std::int64_t columns,
                  std::int64_t element_bytes,
                  const Move& move) {
  for (std::int64_t i = 0; i < tensor.num_rows; ++i) {
    const std::int64_t from =
        tensor.row_order.empty() ? i : tensor.row_order[static_cast<std::size_t>(i)];
    const std::int64_t to = (tensor.row + i) * columns;
    if (!tensor.transposed) {
      move(from * columns * element_bytes, to * element_bytes, columns * element_bytes);
      continue;
    }
    for (std::int64_t c = 0; c < columns; ++c)
      move((c * tensor.num_rows + from) * element_bytes, (to + c) * element_bytes, element_bytes);
  }
}

}  // namespace

void place_rows(const ForeignTensor& tensor,
                std::span<const std::byte> file_bytes,
                std::int64_t columns,
                std::int64_t element_bytes,
                std::span<std::byte> param) {
  for_each_run(
      tensor, columns, element_bytes, [&](std::int64_t from, std::int64_t to, std::int64_t bytes) {
        std::memcpy(param.data() + to, file_bytes.data() + from, static_cast<std::size_t>(bytes));
      });
}

void take_rows(const ForeignTensor& tensor,
               std::span<const std::byte> param,
               std::int64_t columns,
               std::int64_t element_bytes,
               std::span<std::byte> file_bytes) {
  for_each_run(
      tensor, columns, element_bytes, [&](std::int64_t from, std::int64_t to, std::int64_t bytes) {
        std::memcpy(file_bytes.data() + from, param.data() + to, static_cast<std::size_t>(bytes));
      });
}

}  // namespace tera::checkpoint
