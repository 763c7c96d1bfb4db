#include "core/base/rng.h"

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

}  // namespace

std::array<std::uint32_t, 4> philox4x32(std::array<std::uint32_t, 4> c,
                                        std::array<std::uint32_t, 2> key) {
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

Philox::Philox(std::uint64_t seed, RngPurpose purpose, std::uint64_t stream)
    : key_{}, stream_(static_cast<std::uint32_t>(mix64(stream) >> 32U)) {
  const std::uint64_t k =
      mix64(seed ^ mix64(static_cast<std::uint64_t>(purpose)) ^ mix64(stream + 0x51ED2701ULL));
  key_ = {static_cast<std::uint32_t>(k), static_cast<std::uint32_t>(k >> 32U)};
}

std::array<std::uint32_t, 4> Philox::words(std::uint64_t step, std::uint64_t index) const {
  return philox4x32(
      {static_cast<std::uint32_t>(index), static_cast<std::uint32_t>(index >> 32U),
       static_cast<std::uint32_t>(step), static_cast<std::uint32_t>(step >> 32U) ^ stream_},
      key_);
}

float Philox::uniform(std::uint64_t step, std::uint64_t index) const {
  return static_cast<float>(words(step, index)[0] >> 8U) * 0x1.0p-24F;
}

std::array<double, 2> Philox::normal2(std::uint64_t step, std::uint64_t index) const {
  const auto w = words(step, index);
  const double u1 = (static_cast<double>(w[0]) + 1.0) * 0x1.0p-32;  // (0, 1]
  const double u2 = static_cast<double>(w[1]) * 0x1.0p-32;
  const double radius = std::sqrt(-2.0 * std::log(u1));
  const double angle = 2.0 * std::numbers::pi * u2;
  return {radius * std::cos(angle), radius * std::sin(angle)};
}

}  // namespace tera
