#include "core/base/rng.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numbers>

namespace tera {
namespace {

constexpr std::uint32_t kMul0 = 0xD2511F53U;
constexpr std::uint32_t kMul1 = 0xCD9E8D57U;
constexpr std::uint32_t kWeyl0 = 0x9E3779B9U;
constexpr std::uint32_t kWeyl1 = 0xBB67AE85U;
constexpr int kRounds = 10;

std::uint64_t mix64(std::uint64_t x) {  // finaliser of splitmix64
  x += 0x9E3779B97F4A7C15ULL;
  x = (x ^ (x >> 30U)) * 0xBF58476D1CE4E5B9ULL;
  x = (x ^ (x >> 27U)) * 0x94D049BB133111EBULL;
  return x ^ (x >> 31U);
}

// log(x / 2^32) for x in [1, 2^32], relative error below 2^-50: x = 2^e m with m from sqrt(1/2) to
// sqrt(2), and log(m) = 2 atanh(s) = 2 (s + s^3 / 3 + ... + s^19 / 19), s = (m - 1) / (m + 1).
inline double log_fraction(double x) {
  constexpr std::uint64_t kRootOfHalf = 0x3fe6a09e667f3bcdULL;
  constexpr std::uint64_t kExponent = 0xfff0000000000000ULL;
  const auto bits = std::bit_cast<std::uint64_t>(x);
  const std::uint64_t above = bits - kRootOfHalf;
  const auto e = static_cast<double>(static_cast<std::int32_t>(above >> 52U));
  const auto m = std::bit_cast<double>(bits - (above & kExponent));
  const double s = (m - 1) / (m + 1);
  const double q = s * s;
  double p = 1.0 / 19.0;
  p = p * q + 1.0 / 17.0;
  p = p * q + 1.0 / 15.0;
  p = p * q + 1.0 / 13.0;
  p = p * q + 1.0 / 11.0;
  p = p * q + 1.0 / 9.0;
  p = p * q + 1.0 / 7.0;
  p = p * q + 1.0 / 5.0;
  p = p * q + 1.0 / 3.0;
  return (e - 32) * std::numbers::ln2 + 2 * (s + s * q * p);
}

// Cosine and sine of w / 2^32 turns, error below 2^-51: the nearest quarter turn exactly, and the
// Taylor polynomials to x^16 and x^15 for the rest, |x| <= pi / 4.
inline std::array<double, 2> cosine_sine(std::uint32_t w) {
  const std::uint32_t quarter = (w + (1U << 29U)) >> 30U;
  const auto rest = static_cast<std::int32_t>(w - (quarter << 30U));
  const double x = static_cast<double>(rest) * (2 * std::numbers::pi * 0x1p-32);
  const double q = x * x;
  double c = 1.0 / 20922789888000.0;
  c = c * q - 1.0 / 87178291200.0;
  c = c * q + 1.0 / 479001600.0;
  c = c * q - 1.0 / 3628800.0;
  c = c * q + 1.0 / 40320.0;
  c = c * q - 1.0 / 720.0;
  c = c * q + 1.0 / 24.0;
  c = c * q - 1.0 / 2.0;
  c = c * q + 1;
  double s = -1.0 / 1307674368000.0;
  s = s * q + 1.0 / 6227020800.0;
  s = s * q - 1.0 / 39916800.0;
  s = s * q + 1.0 / 362880.0;
  s = s * q - 1.0 / 5040.0;
  s = s * q + 1.0 / 120.0;
  s = s * q - 1.0 / 6.0;
  s = x + x * q * s;
  const bool odd = (quarter & 1U) != 0;
  const double cosine = odd ? s : c;
  const double sine = odd ? c : s;
  return {((quarter + 1) & 2U) != 0 ? -cosine : cosine, (quarter & 2U) != 0 ? -sine : sine};
}

// From two words: u1 = (a + 1) / 2^32 in (0, 1], u2 = b / 2^32 in [0, 1).
inline std::array<double, 2> box_muller(std::uint32_t a, std::uint32_t b) {
  const double radius = std::sqrt(-2.0 * log_fraction(static_cast<double>(a) + 1.0));
  const auto [cosine, sine] = cosine_sine(b);
  return {radius * cosine, radius * sine};
}

inline std::array<std::uint32_t, 4> rounds(std::array<std::uint32_t, 4> c,
                                           std::array<std::uint32_t, 2> key) {
#pragma GCC unroll 10
  for (int round = 0; round < kRounds; ++round) {
    const std::uint64_t p0 = std::uint64_t{kMul0} * c[0];
    const std::uint64_t p1 = std::uint64_t{kMul1} * c[2];
    c = {static_cast<std::uint32_t>(p1 >> 32U) ^ c[1] ^ key[0], static_cast<std::uint32_t>(p1),
         static_cast<std::uint32_t>(p0 >> 32U) ^ c[3] ^ key[1], static_cast<std::uint32_t>(p0)};
    key[0] += kWeyl0;
    key[1] += kWeyl1;
  }
  return c;
}

inline std::array<std::uint32_t, 4> counter(std::uint64_t step,
                                            std::uint64_t index,
                                            std::uint32_t stream) {
  return {static_cast<std::uint32_t>(index), static_cast<std::uint32_t>(index >> 32U),
          static_cast<std::uint32_t>(step), static_cast<std::uint32_t>(step >> 32U) ^ stream};
}

}  // namespace

std::array<std::uint32_t, 4> philox4x32(std::array<std::uint32_t, 4> counter,
                                        std::array<std::uint32_t, 2> key) {
  return rounds(counter, key);
}

Philox::Philox(std::uint64_t seed, RngPurpose purpose, std::uint64_t stream)
    : key_{}, stream_(static_cast<std::uint32_t>(mix64(stream) >> 32U)) {
  const std::uint64_t k =
      mix64(seed ^ mix64(static_cast<std::uint64_t>(purpose)) ^ mix64(stream + 0x51ED2701ULL));
  key_ = {static_cast<std::uint32_t>(k), static_cast<std::uint32_t>(k >> 32U)};
}

std::array<std::uint32_t, 4> Philox::words(std::uint64_t step, std::uint64_t index) const {
  return rounds(counter(step, index, stream_), key_);
}

float Philox::uniform(std::uint64_t step, std::uint64_t index) const {
  return static_cast<float>(words(step, index)[0] >> 8U) * 0x1.0p-24F;
}

std::array<double, 2> Philox::normal2(std::uint64_t step, std::uint64_t index) const {
  const auto w = words(step, index);
  return box_muller(w[0], w[1]);
}

void Philox::normals(std::uint64_t step,
                     std::uint64_t first,
                     double scale,
                     std::span<float> values) const {
  // Two plain loops over a block of pairs each, free of calls, which compilers turn into vector
  // instructions.
  constexpr std::size_t kBlock = 64;
  const std::size_t num_pairs = values.size() / 2;
  std::array<std::uint32_t, kBlock> a;
  std::array<std::uint32_t, kBlock> b;
  for (std::size_t begin = 0; begin < num_pairs; begin += kBlock) {
    const std::size_t count = std::min(kBlock, num_pairs - begin);
    for (std::size_t i = 0; i < count; ++i) {
      const auto w = rounds(counter(step, first + begin + i, stream_), key_);
      a[i] = w[0];
      b[i] = w[1];
    }
    float* to = values.data() + 2 * begin;
    for (std::size_t i = 0; i < count; ++i) {
      const auto pair = box_muller(a[i], b[i]);
      to[2 * i] = static_cast<float>(scale * pair[0]);
      to[2 * i + 1] = static_cast<float>(scale * pair[1]);
    }
  }
  if (values.size() % 2 != 0)
    values.back() = static_cast<float>(scale * normal2(step, first + num_pairs)[0]);
}

}  // namespace tera
