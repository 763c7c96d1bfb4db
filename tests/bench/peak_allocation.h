// How much memory a piece of work takes at the same time.
#pragma once
#include <cstdint>

namespace tera::bench {

// Counts what new takes and delete gives back, on any thread, while it lives; one at a time. In
// bytes that the allocator sets aside, which are a few more than were asked for.
class PeakAllocation {
 public:
  PeakAllocation();
  ~PeakAllocation();
  PeakAllocation(const PeakAllocation&) = delete;
  PeakAllocation& operator=(const PeakAllocation&) = delete;

  std::int64_t bytes() const;
};

}  // namespace tera::bench
