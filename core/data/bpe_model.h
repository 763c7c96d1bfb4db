// Byte-pair merges: the ids of one piece, by merge rank. Immutable after build.
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace tera::data {

class BpeModel {
 public:
  struct Merge {
    std::int32_t left = 0;
    std::int32_t right = 0;
    std::int32_t merged = 0;
  };
  BpeModel() = default;
  // merges by rank; of a pair listed twice the last counts. byte_ids: the id of each single byte.
  BpeModel(const std::array<std::int32_t, 256>& byte_ids, std::span<const Merge> merges);

  // Appends the ids of the piece: the adjacent pair of lowest rank is merged, leftmost first, until
  // no pair is left. O(n^2) up to 16 ids, else O(n log n).
  void encode(std::string_view piece, std::vector<std::int32_t>& out) const;
  // The same from ids in place of bytes.
  void merge(std::span<const std::int32_t> ids, std::vector<std::int32_t>& out) const;

 private:
  struct Slot {
    std::uint64_t pair = kNoPair;
    std::int32_t rank = 0;
    std::int32_t merged = 0;
  };
  static constexpr std::uint64_t kNoPair = ~std::uint64_t{0};
  static std::uint64_t key(std::int32_t left, std::int32_t right) {
    return (static_cast<std::uint64_t>(static_cast<std::uint32_t>(left)) << 32) |
           static_cast<std::uint32_t>(right);
  }
  std::size_t slot_of(std::uint64_t pair) const { return (pair * 0x9E3779B97F4A7C15ULL) >> shift_; }
  const Slot* find(std::int32_t left, std::int32_t right) const;
  void merge_short(std::span<std::int32_t> ids, std::vector<std::int32_t>& out) const;
  void merge_long(std::span<const std::int32_t> ids, std::vector<std::int32_t>& out) const;

  std::array<std::int32_t, 256> byte_ids_{};
  std::vector<Slot> slots_;  // open addressing, at most half full
  int shift_ = 63;
};

}  // namespace tera::data
