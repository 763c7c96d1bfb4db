// What context ranks exchange in the attention of a layer.
#pragma once
#include <cstdint>

#include "core/spec/run_spec.h"

namespace tera::plan {

// Elements of one rank, of a micro-batch. Ulysses sends a head of keys and values to each rank
// whose queries share it.
struct ContextExchange {
  std::int64_t queries = 0;
  std::int64_t keys = 0;
  std::int64_t values = 0;
  std::int64_t outputs = 0;
  std::int64_t inputs() const { return queries + keys + values; }
};
ContextExchange context_exchange(const spec::RunSpec& spec);

// Bytes of what TeraGPT has under way at the most, in backward; 0 with one rank.
std::int64_t context_passing_bytes(const spec::RunSpec& spec);

}  // namespace tera::plan
