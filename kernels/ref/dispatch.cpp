// Routed rows: where each (token, k) goes, and the moves of vectors and gates there and back.
#include <algorithm>
#include <cmath>
#include <limits>
#include <span>
#include <vector>

#include "kernels/contract.h"
#include "kernels/ref/access.h"
#include "kernels/ref/ref.h"

namespace tera::kernels::ref {

namespace {

// Keeps the `capacity` slots of the highest priority of one expert's, ties to the first, and marks
// the others. `slots` ascends.
template <class A>
void drop_lowest(std::span<std::int64_t> slots,
                 const A* priority,
                 std::int64_t capacity,
                 std::vector<bool>& dropped) {
  const auto value = [priority](std::int64_t slot) {
    return std::isnan(priority[slot]) ? -std::numeric_limits<A>::infinity() : priority[slot];
  };
  std::nth_element(slots.begin(), slots.begin() + capacity, slots.end(),
                   [&](std::int64_t a, std::int64_t b) {
                     const A of_a = value(a);
                     const A of_b = value(b);
                     return of_a != of_b ? of_a > of_b : a < b;
                   });
  for (const std::int64_t slot : slots.subspan(static_cast<std::size_t>(capacity)))
    dropped[static_cast<std::size_t>(slot)] = true;
}

// The slots that find their expert full.
std::vector<bool> find_dropped(const View& indices,
                               const View& priority,
                               std::int64_t capacity,
                               std::size_t num_experts) {
  const auto* expert = indices.as<const std::int32_t>();
  std::vector<std::vector<std::int64_t>> slots(num_experts);
  for (std::int64_t i = 0; i < indices.num_elements(); ++i)
    slots[static_cast<std::size_t>(expert[i])].push_back(i);
  std::vector<bool> dropped(static_cast<std::size_t>(indices.num_elements()));
  for (std::vector<std::int64_t>& own : slots) {
    if (std::ssize(own) <= capacity) continue;
    if (!priority.present()) {
      for (std::size_t i = static_cast<std::size_t>(capacity); i < own.size(); ++i)
        dropped[static_cast<std::size_t>(own[i])] = true;
      continue;
    }
    with_accumulate_type(priority.dtype, [&]<class A>() {
      drop_lowest(std::span(own), priority.as<const A>(), capacity, dropped);
    });
  }
  return dropped;
}

}  // namespace

void moe_dispatch(
    const Context&, View indices, View priority, DispatchOptions options, View offsets, View rows) {
  const auto dims = contract::check_moe_dispatch(indices, priority, options, offsets, rows);
  const auto* expert = indices.as<const std::int32_t>();
  auto* offset = offsets.as<std::int64_t>();
  const auto slots = static_cast<std::size_t>(dims.tokens * dims.top_k);
  const auto experts = static_cast<std::size_t>(dims.experts);
  std::vector<bool> dropped(slots);
  if (options.capacity > 0) dropped = find_dropped(indices, priority, options.capacity, experts);
  std::vector<std::int64_t> next(experts + 1);
  for (std::size_t i = 0; i < slots; ++i) {
    if (!dropped[i]) ++next[static_cast<std::size_t>(expert[i]) + 1];
  }
  for (std::size_t e = 0; e < experts; ++e)
    next[e + 1] = next[e] + (options.pad ? options.capacity : next[e + 1]);
  std::copy(next.begin(), next.end(), offset);
  for (std::size_t i = 0; i < slots; ++i) {
    rows.as<std::int32_t>()[i] =
        dropped[i] ? -1 : static_cast<std::int32_t>(next[static_cast<std::size_t>(expert[i])]++);
  }
}

void moe_permute(const Context&, View x, View rows, View y) {
  const auto dims = contract::check_moe_rows("moe_permute", x, rows, y);
  const std::int64_t tokens = dims.rows;
  const std::int64_t width = dims.cols;
  with_compute_type(x.dtype, [&]<class C, class A>() {
    for (std::int64_t t = 0; t < tokens; ++t) {
      for (std::int64_t k = 0; k < rows.shape[1]; ++k) {
        const std::int32_t r = row<const std::int32_t>(rows, t)[k];
        if (r < 0) continue;
        const C* from = row<const C>(x, t);
        C* to = row<C>(y, r);
        for (std::int64_t h = 0; h < width; ++h)
          to[h] = from[h];
      }
    }
  });
}

void moe_unpermute(const Context&, View y, View rows, View x, bool accumulate) {
  const auto dims = contract::check_moe_rows("moe_unpermute", x, rows, y);
  const std::int64_t tokens = dims.rows;
  const std::int64_t width = dims.cols;
  with_compute_type(x.dtype, [&]<class C, class A>() {
    for (std::int64_t t = 0; t < tokens; ++t) {
      C* to = row<C>(x, t);
      for (std::int64_t h = 0; h < width; ++h) {
        double sum = accumulate ? load(to[h]) : 0.0;
        for (std::int64_t k = 0; k < rows.shape[1]; ++k) {
          const std::int32_t r = row<const std::int32_t>(rows, t)[k];
          if (r >= 0) sum += load(row<const C>(y, r)[h]);
        }
        store(to[h], sum);
      }
    }
  });
}

void moe_scatter_gates(const Context&, View gates, View rows, View y) {
  const std::int64_t slots = contract::check_moe_gates("moe_scatter_gates", gates, rows, y);
  const auto* to = rows.as<const std::int32_t>();
  with_accumulate_type(gates.dtype, [&]<class A>() {
    for (std::int64_t i = 0; i < slots; ++i) {
      if (to[i] >= 0) y.as<A>()[to[i]] = gates.as<const A>()[i];
    }
  });
}

void moe_gather_gates(const Context&, View y, View rows, View gates) {
  const std::int64_t slots = contract::check_moe_gates("moe_gather_gates", gates, rows, y);
  const auto* from = rows.as<const std::int32_t>();
  with_accumulate_type(gates.dtype, [&]<class A>() {
    for (std::int64_t i = 0; i < slots; ++i)
      gates.as<A>()[i] = from[i] >= 0 ? y.as<const A>()[from[i]] : A(0);
  });
}

}  // namespace tera::kernels::ref
