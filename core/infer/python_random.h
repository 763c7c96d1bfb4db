// PythonRandom: the numbers of Python's `random.Random(seed)`, so that few-shot examples and
// bootstrap errors are those of published evaluations.
// Source: Matsumoto and Nishimura 1998, MT19937 with init_by_array; the documented methods of
// Python's module `random`.
#pragma once
#include <array>
#include <cstdint>
#include <vector>

namespace tera::infer {

class PythonRandom {
 public:
  explicit PythonRandom(std::uint32_t seed);

  double random();                     // [0, 1), 53 bits
  std::int64_t below(std::int64_t n);  // [0, n), n from 1 to 2^31
  // Places of random.sample(population, k) among n; k <= n.
  std::vector<std::int64_t> sample(std::int64_t n, std::int64_t k);

 private:
  static constexpr std::size_t kWords = 624;
  void seed_with(std::uint32_t seed);
  void refill();
  std::uint32_t next();

  std::array<std::uint32_t, kWords> state_{};
  std::size_t used_ = kWords;
};

}  // namespace tera::infer
