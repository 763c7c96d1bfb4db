// Counter-based random numbers: Philox4x32-10 (Salmon et al. 2011, "Parallel random numbers: as
// easy as 1, 2, 3"). A number depends on (seed, purpose, step, index) alone, never on rank, thread
// or order, so results do not depend on the layout.
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <string_view>

namespace tera {

// What a random number is for; part of the key. Values are written to nothing, but keep them
// stable: the same spec must give the same run.
enum class RngPurpose : std::uint32_t {
  init = 1,
  sampling = 2,
  router_jitter = 3,
  test = 4,
  rounding = 5
};

// The raw generator: ten rounds over a 128-bit counter with a 64-bit key.
std::array<std::uint32_t, 4> philox4x32(std::array<std::uint32_t, 4> counter,
                                        std::array<std::uint32_t, 2> key);

class Philox {
 public:
  Philox(std::uint64_t seed, RngPurpose purpose, std::uint64_t stream = 0);

  // Four independent 32-bit words for counter (step, index).
  std::array<std::uint32_t, 4> words(std::uint64_t step, std::uint64_t index) const;
  // Uniform in [0, 1), 24 bits.
  float uniform(std::uint64_t step, std::uint64_t index) const;
  // Two independent standard normals (Box and Muller 1958) in f64, by additions, multiplications,
  // divisions and square roots alone, so that every platform agrees to the bit.
  std::array<double, 2> normal2(std::uint64_t step, std::uint64_t index) const;
  // Normals of deviation `scale` rounded to f32, for whole tensors: values[2 i] and values[2 i + 1]
  // come from the pair of index first + i.
  void normals(std::uint64_t step,
               std::uint64_t first,
               double scale,
               std::span<float> values) const;

 private:
  std::array<std::uint32_t, 2> key_;
  std::uint32_t stream_;
};

// Stable 64-bit hash of a name (FNV-1a), to key a stream by tensor name.
constexpr std::uint64_t name_hash(std::string_view name) {
  std::uint64_t h = 14695981039346656037ULL;
  for (const char c : name) {
    h ^= static_cast<unsigned char>(c);
    h *= 1099511628211ULL;
  }
  return h;
}

}  // namespace tera
