// IEEE half precision as a storage type: 10 bits of fraction, 5 of exponent. Arithmetic happens in
// f32.
#pragma once
#include <bit>
#include <cstdint>

namespace tera::kernels {

struct F16 {
  std::uint16_t bits = 0;

  F16() = default;
  // Rounds to nearest, ties to even; from 65520 on to infinity; NaN stays a quiet NaN.
  explicit F16(float value) {
    const auto u = std::bit_cast<std::uint32_t>(value);
    const std::uint32_t magnitude = u & 0x7fffffffU;
    std::uint32_t half = 0;
    if (magnitude > 0x7f800000U) {
      half = 0x7e00U;
    } else if (magnitude >= 0x477ff000U) {
      half = 0x7c00U;
    } else if (magnitude < 0x38800000U) {
      // Below 2^-14 half precision has steps of 2^-24, as f32 has at 0.5.
      half = std::bit_cast<std::uint32_t>(std::bit_cast<float>(magnitude) + 0.5F) - 0x3f000000U;
    } else {
      half = (magnitude - 0x38000000U + 0xfffU + ((magnitude >> 13U) & 1U)) >> 13U;
    }
    bits = static_cast<std::uint16_t>(half | ((u >> 16U) & 0x8000U));
  }
  explicit operator float() const {
    const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000U) << 16U;
    const std::uint32_t magnitude = bits & 0x7fffU;
    if (magnitude < 0x400U) {
      const float value = static_cast<float>(magnitude) * 0x1p-24F;
      return std::bit_cast<float>(sign | std::bit_cast<std::uint32_t>(value));
    }
    const std::uint32_t exponent = magnitude >= 0x7c00U ? 0x70000000U : 0x38000000U;
    return std::bit_cast<float>(sign | ((magnitude << 13U) + exponent));
  }
};
static_assert(sizeof(F16) == 2);

}  // namespace tera::kernels
