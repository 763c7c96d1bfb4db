// What encoding remembers between pieces, and how it collects their ids: inside the tokenizer only.
#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>
#include <vector>

namespace tera::data {

// The ids of pieces seen lately, per thread: 2 MiB, two entries per place, no locks. A piece of up
// to 24 bytes with up to 8 ids fits; text repeats its words, so nearly every piece is found here.
class PieceCache {
 public:
  static constexpr std::size_t kMaxPiece = 24;
  static constexpr std::size_t kMaxIds = 8;
  struct alignas(64) Entry {
    std::uint64_t key[3] = {0, 0, 0};  // the piece, zero-padded
    std::int32_t ids[kMaxIds] = {};
    std::uint8_t size = 0;  // of the piece; 0: empty entry
    std::uint8_t num_ids = 0;
  };

  // Empties the cache when another tokenizer uses the thread.
  void belong_to(std::uint64_t owner) {
    if (owner == owner_ && !entries_.empty()) return;
    entries_.assign(kEntries, Entry{});
    owner_ = owner;
  }

  // Looks for a piece of at most kMaxPiece bytes; text_end bounds what may be read behind it.
  const Entry* find(std::string_view piece, const char* text_end) {
    if (text_end - piece.data() >= static_cast<std::ptrdiff_t>(kMaxPiece)) {
      std::memcpy(key_, piece.data(), kMaxPiece);
      for (std::size_t word = 0; word < 3; ++word)
        key_[word] &= mask(piece.size(), word);
    } else {
      key_[0] = key_[1] = key_[2] = 0;
      std::memcpy(key_, piece.data(), piece.size());
    }
    std::uint64_t h = (key_[0] ^ piece.size()) * 0x9E3779B97F4A7C15ULL;
    h = (h ^ (h >> 29) ^ key_[1]) * 0xBF58476D1CE4E5B9ULL;
    h = (h ^ (h >> 32) ^ key_[2]) * 0x94D049BB133111EBULL;
    place_ = entries_.data() + (h >> (64 - kPlaceBits)) * 2;
    if (is(place_[0], piece.size())) return &place_[0];
    return is(place_[1], piece.size()) ? &place_[1] : nullptr;
  }

  // Keeps the ids of the piece that find() has just missed, in place of the older of two.
  void keep(std::size_t piece_size, std::span<const std::int32_t> ids) {
    if (ids.size() > kMaxIds) return;
    place_[1] = place_[0];
    std::copy(key_, key_ + 3, place_[0].key);
    std::copy(ids.begin(), ids.end(), place_[0].ids);
    place_[0].size = static_cast<std::uint8_t>(piece_size);
    place_[0].num_ids = static_cast<std::uint8_t>(ids.size());
  }

 private:
  static constexpr int kPlaceBits = 14;
  static constexpr std::size_t kEntries = std::size_t{2} << kPlaceBits;
  // Bytes of a word that belong to a piece of this size (little-endian).
  static std::uint64_t mask(std::size_t size, std::size_t word) {
    const std::size_t begin = word * 8;
    if (size >= begin + 8) return ~std::uint64_t{0};
    return size <= begin ? 0 : (std::uint64_t{1} << (8 * (size - begin))) - 1;
  }
  bool is(const Entry& entry, std::size_t size) const {
    return entry.size == size && entry.key[0] == key_[0] && entry.key[1] == key_[1] &&
           entry.key[2] == key_[2];
  }
  std::vector<Entry> entries_;
  std::uint64_t owner_ = 0;
  std::uint64_t key_[3] = {0, 0, 0};  // of the last find()
  Entry* place_ = nullptr;
};

// Collects ids in a fixed buffer, so that a piece found in the cache costs one copy of fixed size.
// What was appended reaches the vector with flush().
class IdBuffer {
 public:
  explicit IdBuffer(std::vector<std::int32_t>& out) : out_(out) {}

  void append(const PieceCache::Entry& entry) {
    if (size_ + PieceCache::kMaxIds > kSize) flush();
    std::memcpy(ids_ + size_, entry.ids, sizeof entry.ids);
    size_ += entry.num_ids;
  }
  void flush() {
    out_.insert(out_.end(), ids_, ids_ + size_);
    size_ = 0;
  }

 private:
  static constexpr std::size_t kSize = 1024;
  std::vector<std::int32_t>& out_;
  std::int32_t ids_[kSize];
  std::size_t size_ = 0;
};

}  // namespace tera::data
