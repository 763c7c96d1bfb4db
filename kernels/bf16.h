// bfloat16 as a storage type: the upper half of an IEEE f32. Arithmetic happens in f32.
#pragma once
#include <bit>
#include <cstdint>

namespace tera::kernels {

struct Bf16 {
  std::uint16_t bits = 0;

  Bf16() = default;
  // Rounds to nearest, ties to even; NaN stays a quiet NaN.
  explicit Bf16(float value) {
    const auto u = std::bit_cast<std::uint32_t>(value);
    if ((u & 0x7fffffffU) > 0x7f800000U) {
      bits = static_cast<std::uint16_t>((u >> 16U) | 0x40U);
      return;
    }
    bits = static_cast<std::uint16_t>((u + 0x7fffU + ((u >> 16U) & 1U)) >> 16U);
  }
  explicit operator float() const {
    return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16U);
  }
};
static_assert(sizeof(Bf16) == 2);

}  // namespace tera::kernels
