#include "core/data/added_token_finder.h"

namespace tera::data {

AddedTokenFinder::AddedTokenFinder(std::span<const AddedToken> tokens) {
  if (tokens.empty()) return;
  ids_.push_back(-1);
  for (const AddedToken& token : tokens) {
    first_bytes_[static_cast<unsigned char>(token.content.front())] = true;
    std::int32_t node = 0;
    for (const char byte : token.content) {
      const auto [at, is_new] =
          edges_.try_emplace(edge(node, byte), static_cast<std::int32_t>(ids_.size()));
      if (is_new) ids_.push_back(-1);
      node = at->second;
    }
    ids_[static_cast<std::size_t>(node)] = token.id;
  }
}

AddedTokenFinder::Match AddedTokenFinder::find(std::string_view text, std::size_t from) const {
  const Match nothing{text.size(), text.size(), -1};
  if (ids_.empty()) return nothing;
  for (std::size_t begin = from; begin < text.size(); ++begin) {
    if (!first_bytes_[static_cast<unsigned char>(text[begin])]) continue;
    Match longest = nothing;
    std::int32_t node = 0;
    for (std::size_t at = begin; at < text.size(); ++at) {
      const auto next = edges_.find(edge(node, text[at]));
      if (next == edges_.end()) break;
      node = next->second;
      if (const std::int32_t id = ids_[static_cast<std::size_t>(node)]; id >= 0) {
        longest = {begin, at + 1, id};
      }
    }
    if (longest.id >= 0) return longest;
  }
  return nothing;
}

}  // namespace tera::data
