#include "core/infer/python_random.h"

#include <bit>
#include <numeric>
#include <unordered_set>

#include "core/base/check.h"

namespace tera::infer {

// init_by_array with a key of one word.
PythonRandom::PythonRandom(std::uint32_t seed) {
  seed_with(19650218U);
  const auto mixed = [this](std::size_t i) {
    const std::uint32_t before = state_[i - 1];
    return before ^ (before >> 30U);
  };
  std::size_t i = 1;
  const auto advance = [&] {
    if (++i < kWords) return;
    state_[0] = state_[kWords - 1];
    i = 1;
  };
  for (std::size_t round = 0; round < kWords; ++round) {
    state_[i] = (state_[i] ^ (mixed(i) * 1664525U)) + seed;
    advance();
  }
  for (std::size_t round = 1; round < kWords; ++round) {
    state_[i] = (state_[i] ^ (mixed(i) * 1566083941U)) - static_cast<std::uint32_t>(i);
    advance();
  }
  state_[0] = 0x80000000U;
}

void PythonRandom::seed_with(std::uint32_t seed) {
  state_[0] = seed;
  for (std::size_t i = 1; i < kWords; ++i) {
    state_[i] =
        1812433253U * (state_[i - 1] ^ (state_[i - 1] >> 30U)) + static_cast<std::uint32_t>(i);
  }
}

void PythonRandom::refill() {
  constexpr std::size_t kShift = 397;
  for (std::size_t i = 0; i < kWords; ++i) {
    const std::uint32_t y = (state_[i] & 0x80000000U) | (state_[(i + 1) % kWords] & 0x7fffffffU);
    state_[i] = state_[(i + kShift) % kWords] ^ (y >> 1U) ^ ((y & 1U) != 0 ? 0x9908b0dfU : 0U);
  }
  used_ = 0;
}

std::uint32_t PythonRandom::next() {
  if (used_ == kWords) refill();
  std::uint32_t y = state_[used_++];
  y ^= y >> 11U;
  y ^= (y << 7U) & 0x9d2c5680U;
  y ^= (y << 15U) & 0xefc60000U;
  return y ^ (y >> 18U);
}

double PythonRandom::random() {
  const std::uint32_t high = next() >> 5U;
  const std::uint32_t low = next() >> 6U;
  return (static_cast<double>(high) * 0x1.0p26 + static_cast<double>(low)) * 0x1.0p-53;
}

std::int64_t PythonRandom::below(std::int64_t n) {
  TERA_CHECK(n >= 1 && n <= std::int64_t{1} << 31, "random number below {}", n);
  const auto bits = std::bit_width(static_cast<std::uint64_t>(n));
  for (;;) {
    const auto drawn = static_cast<std::int64_t>(next() >> (32 - bits));
    if (drawn < n) return drawn;
  }
}

std::vector<std::int64_t> PythonRandom::sample(std::int64_t n, std::int64_t k) {
  TERA_CHECK(k >= 0 && k <= n, "sample of {} among {}", k, n);
  // Small populations are shuffled in place, large ones drawn again when a place comes twice.
  std::int64_t pool_limit = 21;
  if (k > 5) {
    std::int64_t power = 4;  // 4 ^ ceil(log_4 (3 k))
    while (power < 3 * k)
      power *= 4;
    pool_limit += power;
  }
  std::vector<std::int64_t> chosen;
  if (n <= pool_limit) {
    std::vector<std::int64_t> pool(static_cast<std::size_t>(n));
    std::iota(pool.begin(), pool.end(), 0);
    for (std::int64_t i = 0; i < k; ++i) {
      const auto at = static_cast<std::size_t>(below(n - i));
      chosen.push_back(pool[at]);
      pool[at] = pool[static_cast<std::size_t>(n - i - 1)];
    }
    return chosen;
  }
  std::unordered_set<std::int64_t> taken;
  while (std::ssize(chosen) < k) {
    const std::int64_t at = below(n);
    if (taken.insert(at).second) chosen.push_back(at);
  }
  return chosen;
}

}  // namespace tera::infer
