// Stores that go past the caches, for outputs that are larger than the caches and are not read
// soon: an ordinary store reads the line it is about to overwrite, and pushes others out.
#pragma once
#include <cstddef>
#include <cstdint>

#include "kernels/bf16.h"
#include "kernels/ops.h"

namespace tera::kernels::cpu {

// Whether an output of so many bytes is written past the caches: when it is larger than the last
// of them, as far as the workers' processors share it. Nothing of it would be left there but its
// end. Never where the size of that cache is not known.
bool streams_past_caches(const Context& context, std::int64_t bytes);

// What each writes is seen by other threads once it has returned and the caller synchronises as
// usual.
void stream_zeros(std::byte* to, std::int64_t n);
// To nearest, ties to even, as round_row.
void stream_rounded(const float* from, Bf16* to, std::int64_t n);
void stream_widened(const Bf16* from, float* to, std::int64_t n);

}  // namespace tera::kernels::cpu
