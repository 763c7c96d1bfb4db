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

// An f32 in two halves: the bf16 nearest to it (of two that are equally near the larger one), and
// its lower 16 bits, from which and the other the f32 comes back whole; NaN stays NaN.
struct HalvesF32 {
  std::uint16_t high, low;
};
constexpr HalvesF32 split_f32(std::uint32_t bits) {
  const bool nan = (bits & 0x7fffffffU) > 0x7f800000U;
  const std::uint32_t rounded = nan ? bits | 0x400000U : bits + 0x8000U;
  return {static_cast<std::uint16_t>(rounded >> 16U), static_cast<std::uint16_t>(bits)};
}
constexpr std::uint32_t join_f32(HalvesF32 halves) {
  // Lower halves from 0x8000 on were rounded up: as signed numbers they take it back.
  return (std::uint32_t{halves.high} << 16U) + ((halves.low ^ 0x8000U) - 0x8000U);
}

}  // namespace tera::kernels
