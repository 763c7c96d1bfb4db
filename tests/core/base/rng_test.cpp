#include "core/base/rng.h"

#include <cmath>
#include <numbers>
#include <set>
#include <span>
#include <vector>

#include <gtest/gtest.h>

namespace tera {
namespace {

// Known answers of the Random123 distribution (kat_vectors, philox4x32 10 rounds).
TEST(Philox, KnownAnswers) {
  using Words = std::array<std::uint32_t, 4>;
  EXPECT_EQ(philox4x32({0, 0, 0, 0}, {0, 0}),
            (Words{0x6627e8d5U, 0xe169c58dU, 0xbc57ac4cU, 0x9b00dbd8U}));
  EXPECT_EQ(philox4x32({~0U, ~0U, ~0U, ~0U}, {~0U, ~0U}),
            (Words{0x408f276dU, 0x41c83b0eU, 0xa20bc7c6U, 0x6d5451fdU}));
  EXPECT_EQ(
      philox4x32({0x243f6a88U, 0x85a308d3U, 0x13198a2eU, 0x03707344U}, {0xa4093822U, 0x299f31d0U}),
      (Words{0xd16cfe09U, 0x94fdccebU, 0x5001e420U, 0x24126ea1U}));
}

TEST(Philox, NumbersDependOnEveryPartOfTheKeyAndCounter) {
  const Philox base(1, RngPurpose::init, 7);
  const auto words = base.words(3, 5);
  EXPECT_EQ(words, Philox(1, RngPurpose::init, 7).words(3, 5));
  EXPECT_NE(words, Philox(2, RngPurpose::init, 7).words(3, 5));
  EXPECT_NE(words, Philox(1, RngPurpose::sampling, 7).words(3, 5));
  EXPECT_NE(words, Philox(1, RngPurpose::init, 8).words(3, 5));
  EXPECT_NE(words, base.words(4, 5));
  EXPECT_NE(words, base.words(3, 6));
  EXPECT_NE(words, base.words(3 + (1ULL << 32U), 5));
  EXPECT_NE(words, base.words(3, 5 + (1ULL << 32U)));
}

TEST(Philox, UniformCoversTheUnitInterval) {
  const Philox rng(11, RngPurpose::test);
  double sum = 0;
  constexpr int kSamples = 20000;
  for (int i = 0; i < kSamples; ++i) {
    const float u = rng.uniform(0, static_cast<std::uint64_t>(i));
    ASSERT_GE(u, 0.0F);
    ASSERT_LT(u, 1.0F);
    sum += static_cast<double>(u);
  }
  // Standard error of the mean is 1 / sqrt(12 n); five of them.
  EXPECT_NEAR(sum / kSamples, 0.5, 5.0 / std::sqrt(12.0 * kSamples));
}

TEST(Philox, NormalHasMeanZeroVarianceOneAndIndependentPair) {
  const Philox rng(12, RngPurpose::test);
  double sum = 0;
  double squares = 0;
  double cross = 0;
  constexpr int kPairs = 20000;
  for (int i = 0; i < kPairs; ++i) {
    const auto [a, b] = rng.normal2(1, static_cast<std::uint64_t>(i));
    sum += a + b;
    squares += a * a + b * b;
    cross += a * b;
  }
  const double n = 2.0 * kPairs;
  EXPECT_NEAR(sum / n, 0.0, 5.0 / std::sqrt(n));
  EXPECT_NEAR(squares / n, 1.0, 5.0 * std::sqrt(2.0 / n));
  EXPECT_NEAR(cross / kPairs, 0.0, 5.0 / std::sqrt(kPairs));
}

// Against the textbook formula in extended precision. Errors: a few roundings of each factor, and
// of the radius 0.5 ulp more for the log's half; 16 spacings of f64 are several times that.
TEST(Philox, NormalFollowsBoxAndMuller) {
  const Philox rng(13, RngPurpose::test);
  for (std::uint64_t i = 0; i < 100000; ++i) {
    const auto w = rng.words(2, i);
    const long double radius =
        std::sqrt(-2 * std::log((static_cast<long double>(w[0]) + 1) * 0x1p-32L));
    const long double angle =
        2 * std::numbers::pi_v<long double> * static_cast<long double>(w[1]) * 0x1p-32L;
    const auto pair = rng.normal2(2, i);
    const auto tolerance = static_cast<double>(16 * 0x1p-53L * radius);
    ASSERT_NEAR(pair[0], static_cast<double>(radius * std::cos(angle)), tolerance) << i;
    ASSERT_NEAR(pair[1], static_cast<double>(radius * std::sin(angle)), tolerance) << i;
  }
}

TEST(Philox, NormalsAreThePairsOneByOne) {
  const Philox rng(14, RngPurpose::test);
  constexpr std::uint64_t kFirst = (1ULL << 32U) - 100;  // the counter carries on the way
  for (const std::size_t count : {0U, 1U, 2U, 127U, 128U, 129U, 600U}) {
    std::vector<float> values(count + 1, 7.0F);
    rng.normals(3, kFirst, 0.02, std::span(values).first(count));
    for (std::size_t i = 0; i < count; ++i) {
      const double normal = rng.normal2(3, kFirst + i / 2)[i % 2];
      ASSERT_EQ(values[i], static_cast<float>(0.02 * normal)) << i << " of " << count;
    }
    EXPECT_EQ(values.back(), 7.0F) << "written beyond the end";
  }
}

TEST(NameHash, DiffersBetweenTensors) {
  std::set<std::uint64_t> hashes;
  for (int layer = 0; layer < 1000; ++layer) {
    hashes.insert(name_hash("layers." + std::to_string(layer) + ".attention.qkv.weight"));
  }
  EXPECT_EQ(hashes.size(), 1000U);
  EXPECT_EQ(name_hash(""), 14695981039346656037ULL);  // FNV-1a offset basis
}

}  // namespace
}  // namespace tera
