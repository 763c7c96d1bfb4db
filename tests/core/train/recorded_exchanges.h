// Ranks that are threads, and record which rows of experts they tell each other they have.
#pragma once
#include <algorithm>
#include <vector>

#include "core/plan/step_traffic.h"
#include "tests/support/watched_ranks.h"

namespace tera::train::test {

using Exchanges = std::vector<plan::ExpertCounts>;  // of one rank

// Notes what the ranks that share out experts gather of counts.
inline tera::test::Watch recording(Exchanges& exchanges) {
  return {.before = {}, .after = [&](const comm::Group& group, const comm::Operation& operation) {
            const bool counts = group.axis == "expert" && operation.to.dtype() == DType::i64 &&
                                operation.kind == comm::OperationKind::all_gather;
            if (!counts) return;
            const auto* begin = operation.to.data<const std::int64_t>();
            exchanges.emplace_back(begin, begin + operation.to.num_elements());
          }};
}

// Of what was recorded each exchange once: a second forward tells the same again.
inline Exchanges without_recomputed(Exchanges recorded, bool recomputes) {
  if (!recomputes) return recorded;
  std::sort(recorded.begin(), recorded.end());
  Exchanges once;
  for (std::size_t i = 0; i < recorded.size(); i += 2)
    once.push_back(recorded[i]);
  return once;
}

}  // namespace tera::train::test
