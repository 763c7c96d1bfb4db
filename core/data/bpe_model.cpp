#include "core/data/bpe_model.h"

#include <algorithm>
#include <bit>
#include <limits>

#include <queue>

namespace tera::data {
namespace {

constexpr std::size_t kShortPiece = 16;  // ids; up to here a scan beats a heap
constexpr std::int32_t kNoRank = std::numeric_limits<std::int32_t>::max();

}  // namespace

BpeModel::BpeModel(const std::array<std::int32_t, 256>& byte_ids, std::span<const Merge> merges)
    : byte_ids_(byte_ids) {
  const std::size_t slots = std::bit_ceil(std::max<std::size_t>(2, merges.size() * 2));
  slots_.resize(slots);
  shift_ = 64 - static_cast<int>(std::bit_width(slots - 1));
  for (std::size_t rank = 0; rank < merges.size(); ++rank) {
    const std::uint64_t pair = key(merges[rank].left, merges[rank].right);
    std::size_t at = slot_of(pair);
    while (slots_[at].pair != kNoPair && slots_[at].pair != pair)
      at = (at + 1) & (slots - 1);
    slots_[at] = {pair, static_cast<std::int32_t>(rank), merges[rank].merged};
  }
}

const BpeModel::Slot* BpeModel::find(std::int32_t left, std::int32_t right) const {
  if (slots_.empty()) return nullptr;
  const std::uint64_t pair = key(left, right);
  for (std::size_t at = slot_of(pair);; at = (at + 1) & (slots_.size() - 1)) {
    if (slots_[at].pair == pair) return &slots_[at];
    if (slots_[at].pair == kNoPair) return nullptr;
  }
}

void BpeModel::encode(std::string_view piece, std::vector<std::int32_t>& out) const {
  const auto id_of = [this](char byte) { return byte_ids_[static_cast<unsigned char>(byte)]; };
  if (piece.size() <= kShortPiece) {
    std::int32_t ids[kShortPiece];
    std::transform(piece.begin(), piece.end(), ids, id_of);
    merge_short({ids, piece.size()}, out);
  } else {
    std::vector<std::int32_t> ids(piece.size());
    std::transform(piece.begin(), piece.end(), ids.begin(), id_of);
    merge_long(ids, out);
  }
}

void BpeModel::merge(std::span<const std::int32_t> ids, std::vector<std::int32_t>& out) const {
  if (ids.size() > kShortPiece) return merge_long(ids, out);
  std::int32_t copy[kShortPiece];
  std::copy(ids.begin(), ids.end(), copy);
  merge_short({copy, ids.size()}, out);
}

void BpeModel::merge_short(std::span<std::int32_t> symbols, std::vector<std::int32_t>& out) const {
  std::int32_t* const ids = symbols.data();
  std::int32_t ranks[kShortPiece];   // of the pair that begins here
  std::int32_t merged[kShortPiece];  // what it becomes
  std::size_t n = symbols.size();
  const auto look = [&](std::size_t i) {
    const Slot* slot = i + 1 < n ? find(ids[i], ids[i + 1]) : nullptr;
    ranks[i] = slot != nullptr ? slot->rank : kNoRank;
    merged[i] = slot != nullptr ? slot->merged : 0;
  };
  for (std::size_t i = 0; i < n; ++i)
    look(i);
  while (n > 1) {
    const auto best = static_cast<std::size_t>(std::min_element(ranks, ranks + n) - ranks);
    if (ranks[best] == kNoRank) break;
    ids[best] = merged[best];
    std::copy(ids + best + 2, ids + n, ids + best + 1);
    std::copy(ranks + best + 2, ranks + n, ranks + best + 1);
    std::copy(merged + best + 2, merged + n, merged + best + 1);
    --n;
    look(best);
    if (best > 0) look(best - 1);
  }
  out.insert(out.end(), ids, ids + n);
}

void BpeModel::merge_long(std::span<const std::int32_t> ids, std::vector<std::int32_t>& out) const {
  struct Node {
    std::int32_t id;  // -1: merged into its left neighbour
    std::int32_t previous;
    std::int32_t next;  // -1 at the ends
  };
  struct Candidate {
    std::int32_t rank;
    std::int32_t at;
    std::int32_t left, right, merged;  // ids when it was found: stale when they have changed
    bool operator<(const Candidate& other) const {  // for a heap with the lowest rank on top
      return rank != other.rank ? rank > other.rank : at > other.at;
    }
  };
  const auto n = static_cast<std::int32_t>(ids.size());
  std::vector<Node> nodes(ids.size());
  for (std::int32_t i = 0; i < n; ++i) {
    nodes[static_cast<std::size_t>(i)] = {ids[static_cast<std::size_t>(i)], i - 1,
                                          i + 1 < n ? i + 1 : -1};
  }
  const auto node = [&](std::int32_t i) -> Node& { return nodes[static_cast<std::size_t>(i)]; };
  std::vector<Candidate> heap;
  heap.reserve(ids.size());
  const auto candidate = [&](std::int32_t at) {
    if (at < 0 || node(at).next < 0) return false;
    const std::int32_t left = node(at).id;
    const std::int32_t right = node(node(at).next).id;
    const Slot* slot = find(left, right);
    if (slot == nullptr) return false;
    heap.push_back({slot->rank, at, left, right, slot->merged});
    return true;
  };
  for (std::int32_t i = 0; i + 1 < n; ++i)
    candidate(i);
  std::make_heap(heap.begin(), heap.end());
  while (!heap.empty()) {
    std::pop_heap(heap.begin(), heap.end());
    const Candidate best = heap.back();
    heap.pop_back();
    Node& left = node(best.at);
    if (left.id != best.left || left.next < 0 || node(left.next).id != best.right) continue;
    Node& right = node(left.next);
    left.id = best.merged;
    right.id = -1;
    left.next = right.next;
    if (left.next >= 0) node(left.next).previous = best.at;
    if (candidate(left.previous)) std::push_heap(heap.begin(), heap.end());
    if (candidate(best.at)) std::push_heap(heap.begin(), heap.end());
  }
  for (std::int32_t i = 0; i >= 0; i = node(i).next)
    out.push_back(node(i).id);
}

}  // namespace tera::data
