// Loops over ranges of fixed length: the ranges depend on n alone, never on the workers.
#pragma once
#include <algorithm>
#include <cstdint>

#include "kernels/ops.h"

namespace tera::kernels::cpu {

// body(begin, end, worker) for [0, n) in ranges of `grain`.
template <class Body>
void for_ranges(const Context& context, std::int64_t n, std::int64_t grain, Body&& body) {
  if (n <= 0) return;
  const std::int64_t tasks = (n + grain - 1) / grain;
  if (tasks == 1) return body(std::int64_t{0}, n, 0);
  context.executor->parallel_for(tasks, [&](std::int64_t task, int worker) {
    body(task * grain, std::min(n, (task + 1) * grain), worker);
  });
}

// Rows per task so that a task has about 16 Ki elements.
inline std::int64_t row_grain(std::int64_t width) {
  return std::max<std::int64_t>(1, 16384 / std::max<std::int64_t>(1, width));
}

// body(row) for [0, rows), each `width` elements of work.
template <class Body>
void for_rows(const Context& context, std::int64_t rows, std::int64_t width, Body&& body) {
  for_ranges(context, rows, row_grain(width), [&](std::int64_t begin, std::int64_t end, int) {
    for (std::int64_t row = begin; row < end; ++row)
      body(row);
  });
}

}  // namespace tera::kernels::cpu
