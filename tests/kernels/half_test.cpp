// Half precision bit for bit: the scalar conversions against the definition, the fast ones against
// them.
#include "kernels/cpu/half.h"

#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include <gtest/gtest.h>

#include "tests/kernels/support/targets.h"

namespace tera::kernels::test {
namespace {

F16 from_bits(std::uint32_t bits) {
  F16 half;
  half.bits = static_cast<std::uint16_t>(bits);
  return half;
}

// (-1)^s 2^(e - 15) (1 + f / 1024), or 2^-14 f / 1024 for e = 0.
double defined(std::uint32_t bits) {
  const double sign = (bits & 0x8000U) != 0 ? -1 : 1;
  const auto exponent = static_cast<int>((bits >> 10U) & 31U);
  const double fraction = (bits & 1023U) / 1024.0;
  return exponent == 0 ? sign * std::ldexp(fraction, -14)
                       : sign * std::ldexp(1 + fraction, exponent - 15);
}

TEST(Half, EveryValueIsWhatTheFormatSaysAndComesBack) {
  for (std::uint32_t bits = 0; bits < 0x10000U; ++bits) {
    const auto value = static_cast<double>(static_cast<float>(from_bits(bits)));
    if ((bits & 0x7fffU) > 0x7c00U) {
      EXPECT_TRUE(std::isnan(value)) << bits;
      EXPECT_GT(F16(static_cast<float>(from_bits(bits))).bits & 0x7fff, 0x7c00) << bits;
      continue;
    }
    if ((bits & 0x7fffU) == 0x7c00U) {
      EXPECT_TRUE(std::isinf(value) && std::signbit(value) == ((bits & 0x8000U) != 0));
    } else {
      EXPECT_EQ(value, defined(bits)) << bits;
    }
    EXPECT_EQ(F16(static_cast<float>(from_bits(bits))).bits, bits);
  }
}

TEST(Half, RoundsToTheNearestAndTiesToEven) {
  for (std::uint32_t bits = 0; bits < 0x7bffU; ++bits) {  // up to the largest but one
    const double low = defined(bits);
    const double high = defined(bits + 1);
    const auto middle = static_cast<float>((low + high) / 2);
    EXPECT_EQ(F16(middle).bits, bits % 2 == 0 ? bits : bits + 1) << bits;
    EXPECT_EQ(F16(std::nextafter(middle, 0.0F)).bits, bits) << bits;
    EXPECT_EQ(F16(std::nextafter(middle, 1e9F)).bits, bits + 1) << bits;
    EXPECT_EQ(F16(-middle).bits, 0x8000U | (bits % 2 == 0 ? bits : bits + 1)) << bits;
  }
  EXPECT_EQ(F16(65519.99F).bits, 0x7bff);
  EXPECT_EQ(F16(65520.0F).bits, 0x7c00);
  EXPECT_EQ(F16(1e30F).bits, 0x7c00);
}

TEST(Half, TheFastFormsAgreeOnEveryTarget) {
  std::vector<float> values;
  for (std::uint32_t bits = 0; bits < 0x10000U; ++bits) {
    const auto value = static_cast<float>(from_bits(bits));
    for (const float near : {value, std::nextafter(value * 1.0003F, 0.0F), value * 1.00049F})
      values.push_back(near);
  }
  for (std::uint32_t i = 0; i < 100003; ++i)
    values.push_back(std::bit_cast<float>(i * 42949U));
  const auto n = static_cast<std::int64_t>(values.size());
  for_each_target([&](const char* target) {
    std::vector<F16> halves(values.size());
    std::vector<float> wide(values.size());
    cpu::round_half(values.data(), halves.data(), n);
    cpu::widen_half(halves.data(), wide.data(), n);
    for (std::size_t i = 0; i < values.size(); ++i) {
      ASSERT_EQ(halves[i].bits, F16(values[i]).bits) << target << " " << values[i];
      ASSERT_EQ(std::bit_cast<std::uint32_t>(wide[i]),
                std::bit_cast<std::uint32_t>(static_cast<float>(halves[i])))
          << target;
    }
  });
}

}  // namespace
}  // namespace tera::kernels::test
