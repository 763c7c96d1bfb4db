#include "tests/bench/peak_allocation.h"

#include <atomic>
#include <cstdlib>
#include <new>

#include <malloc.h>

namespace tera::bench {
namespace {

std::atomic<bool> g_counts{false};
std::atomic<std::int64_t> g_live{0};
std::atomic<std::int64_t> g_peak{0};

// `sign` times what lies at p.
void count(void* p, int sign) {
  if (!g_counts.load(std::memory_order_relaxed)) return;
  const std::int64_t change = sign * static_cast<std::int64_t>(::malloc_usable_size(p));
  const std::int64_t live = g_live.fetch_add(change) + change;
  std::int64_t peak = g_peak.load();
  while (live > peak && !g_peak.compare_exchange_weak(peak, live)) {
  }
}

void* taken(void* p) {
  if (p == nullptr) throw std::bad_alloc();
  count(p, 1);
  return p;
}

void give_back(void* p) {
  count(p, -1);
  std::free(p);
}

}  // namespace

PeakAllocation::PeakAllocation() {
  g_live = 0;
  g_peak = 0;
  g_counts = true;
}

PeakAllocation::~PeakAllocation() {
  g_counts = false;
}

std::int64_t PeakAllocation::bytes() const {
  return g_peak.load();
}

}  // namespace tera::bench

// The forms for arrays and without exceptions end here, too.
void* operator new(std::size_t bytes) {
  return tera::bench::taken(std::malloc(bytes));
}
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  const auto to = static_cast<std::size_t>(alignment);
  return tera::bench::taken(std::aligned_alloc(to, (bytes + to - 1) / to * to));
}
void operator delete(void* p) noexcept {
  tera::bench::give_back(p);
}
void operator delete(void* p, std::size_t) noexcept {
  tera::bench::give_back(p);
}
void operator delete(void* p, std::align_val_t) noexcept {
  tera::bench::give_back(p);
}
void operator delete(void* p, std::size_t, std::align_val_t) noexcept {
  tera::bench::give_back(p);
}
