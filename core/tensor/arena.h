// Arena: the host memory of a backend. Blocks are cut from one reserved range of addresses, and a
// freed block joins its free neighbours: what activations leave behind serves gradients of other
// shapes. The system gives pages when they are first written; they stay until the arena dies.
#pragma once
#include <cstddef>
#include <map>
#include <set>
#include <utility>
#include <vector>

namespace tera {

class Arena {
 public:
  Arena();
  ~Arena();
  Arena(const Arena&) = delete;
  Arena& operator=(const Arena&) = delete;

  static constexpr std::size_t kAlignment = 64;

  // Uninitialised, aligned. The smallest free range that holds it, the lowest of equal ones. Throws
  // std::bad_alloc when live blocks would need more than the machine has, swap included.
  std::byte* take(std::size_t bytes);
  // The end of the highest free range that holds it among those that were in use before, else
  // take(bytes). For blocks that come one by one while others go from above, and then stay, as
  // gradients do while activations go: they lie side by side, without holes between them.
  std::byte* take_high(std::size_t bytes);
  // A block of take(bytes).
  void give_back(std::byte* block, std::size_t bytes) noexcept;

 private:
  void reserve(std::size_t bytes);
  void insert(std::byte* begin, std::size_t bytes);
  // Block [begin, begin + range) of a free range.
  std::byte* cut(std::map<std::byte*, std::size_t>::iterator from,
                 std::byte* begin,
                 std::size_t range);

  std::size_t left_;                                         // of the machine, not reserved yet
  std::vector<std::pair<std::byte*, std::size_t>> regions_;  // reserved
  std::map<std::byte*, std::size_t> free_;                   // by address; no two touch
  std::set<std::pair<std::size_t, std::byte*>> by_size_;     // the same ranges
  std::byte* used_end_ = nullptr;                            // of the highest block there ever was
};

}  // namespace tera
