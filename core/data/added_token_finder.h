// Finds added tokens ("<|endoftext|>") in text: leftmost, then longest.
#pragma once
#include <array>
#include <cstdint>
#include <span>
#include <string_view>
#include <unordered_map>

#include "core/data/tokenizer_file.h"

namespace tera::data {

class AddedTokenFinder {
 public:
  AddedTokenFinder() = default;
  explicit AddedTokenFinder(std::span<const AddedToken> tokens);

  struct Match {
    std::size_t begin = 0;  // without a match: the end of the text
    std::size_t end = 0;
    std::int32_t id = -1;
  };
  // The first match at or after `from`.
  Match find(std::string_view text, std::size_t from) const;

 private:
  // A trie: (node, byte) -> node; node 0 is the root.
  static std::uint64_t edge(std::int32_t node, char byte) {
    return (static_cast<std::uint64_t>(node) << 8) | static_cast<unsigned char>(byte);
  }
  std::array<bool, 256> first_bytes_{};
  std::unordered_map<std::uint64_t, std::int32_t> edges_;
  std::vector<std::int32_t> ids_;  // of the token that ends at a node, or -1
};

}  // namespace tera::data
