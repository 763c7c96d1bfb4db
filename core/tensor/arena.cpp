#include "core/tensor/arena.h"

#include <algorithm>
#include <iterator>
#include <new>

#include <sys/mman.h>
#include <sys/sysinfo.h>

#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/asan_interface.h>
#else  // the same calls, of no effect
#define ASAN_POISON_MEMORY_REGION(address, bytes) (static_cast<void>(address))
#define ASAN_UNPOISON_MEMORY_REGION(address, bytes) (static_cast<void>(address))
#endif

namespace tera {
namespace {

// Huge pages: fewer faults and TLB misses. Regions are whole ones.
constexpr std::size_t kHugePage = std::size_t{2} << 20U;

#ifdef __SANITIZE_ADDRESS__
constexpr std::size_t kGuard = Arena::kAlignment;  // behind each block: nobody's
#else
constexpr std::size_t kGuard = 0;
#endif

std::size_t round_up(std::size_t bytes, std::size_t to) {
  return (bytes + to - 1) / to * to;
}

// Every block has an address of its own, of no bytes too.
std::size_t range_of(std::size_t bytes) {
  return round_up(bytes > 0 ? bytes : 1, Arena::kAlignment) + kGuard;
}

std::size_t machine_bytes() {
  struct sysinfo info = {};
  if (sysinfo(&info) != 0) throw std::bad_alloc();
  return (std::size_t{info.totalram} + info.totalswap) * info.mem_unit / kHugePage * kHugePage;
}

std::byte* map_range(std::size_t bytes) {
  void* const range = mmap(nullptr, bytes, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  return range == MAP_FAILED ? nullptr : static_cast<std::byte*>(range);
}

}  // namespace

Arena::Arena() : left_(machine_bytes()) {}

Arena::~Arena() {
  for (const auto& [begin, bytes] : regions_) {
    ASAN_UNPOISON_MEMORY_REGION(begin, bytes);
    munmap(begin, bytes);
  }
}

std::byte* Arena::take(std::size_t bytes) {
  const std::size_t range = range_of(bytes);
  if (by_size_.empty() || by_size_.rbegin()->first < range) reserve(range);
  const auto smallest = free_.find(by_size_.lower_bound({range, nullptr})->second);
  std::byte* const block = cut(smallest, smallest->first, range);
  ASAN_UNPOISON_MEMORY_REGION(block, bytes);
  return block;
}

std::byte* Arena::take_high(std::size_t bytes) {
  const std::size_t range = range_of(bytes);
  for (auto free = free_.end(); free != free_.begin();) {
    --free;
    std::byte* const end = std::min(free->first + free->second, used_end_);
    if (end <= free->first || static_cast<std::size_t>(end - free->first) < range) continue;
    std::byte* const block = cut(free, end - range, range);
    ASAN_UNPOISON_MEMORY_REGION(block, bytes);
    return block;
  }
  return take(bytes);
}

std::byte* Arena::cut(std::map<std::byte*, std::size_t>::iterator from,
                      std::byte* begin,
                      std::size_t range) {
  std::byte* const block_end = begin + range;
  std::byte* const end = from->first + from->second;
  if (block_end < end) insert(block_end, static_cast<std::size_t>(end - block_end));
  auto sized = by_size_.extract({from->second, from->first});
  if (from->first < begin) {
    from->second = static_cast<std::size_t>(begin - from->first);
    sized.value() = {from->second, from->first};
    by_size_.insert(std::move(sized));
  } else {
    free_.erase(from);
  }
  used_end_ = std::max(used_end_, block_end);
  ASAN_POISON_MEMORY_REGION(begin, range);
  return begin;
}

void Arena::give_back(std::byte* block, std::size_t bytes) noexcept {
  const std::size_t range = range_of(bytes);
  ASAN_POISON_MEMORY_REGION(block, range);
  std::byte* begin = block;
  std::byte* end = block + range;
  const auto absorb = [&](std::map<std::byte*, std::size_t>::iterator neighbour) {
    begin = std::min(begin, neighbour->first);
    end = std::max(end, neighbour->first + neighbour->second);
    by_size_.erase({neighbour->second, neighbour->first});
    free_.erase(neighbour);
  };
  const auto after = free_.lower_bound(block);
  const auto before = after == free_.begin() ? free_.end() : std::prev(after);
  if (before != free_.end() && before->first + before->second == block) absorb(before);
  if (after != free_.end() && after->first == block + range) absorb(after);
  try {
    insert(begin, static_cast<std::size_t>(end - begin));
  } catch (const std::bad_alloc&) {
    // No memory for the note: the range stays unused until the arena dies.
  }
}

// A region for at least so many bytes: all that is left of the machine, or less of it where the
// system limits addresses (ulimit -v, overcommit).
void Arena::reserve(std::size_t bytes) {
  regions_.reserve(regions_.size() + 1);  // so that a region is never mapped and forgotten
  for (std::size_t size = left_; size >= bytes; size = size / 2 / kHugePage * kHugePage) {
    std::byte* const begin = map_range(size);
    if (begin == nullptr) continue;
    static_cast<void>(madvise(begin, size, MADV_HUGEPAGE));  // advice: all works without
    regions_.emplace_back(begin, size);
    left_ -= size;
    insert(begin, size);
    return;
  }
  throw std::bad_alloc();
}

void Arena::insert(std::byte* begin, std::size_t bytes) {
  const auto placed = free_.emplace(begin, bytes).first;
  try {
    by_size_.insert({bytes, begin});
  } catch (...) {  // in both or in neither: cut() has not taken the range from its free one yet
    free_.erase(placed);
    throw;
  }
}

}  // namespace tera
