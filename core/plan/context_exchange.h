// What context ranks exchange in the attention of a layer.
#pragma once
#include "core/spec/run_spec.h"

namespace tera::plan {

// Elements of one rank, of a micro-batch. Ulysses sends a head of keys and values to each rank
// whose queries share it.
struct ContextExchange {
  double queries = 0;
  double keys_values = 0;
  double outputs = 0;
};
ContextExchange context_exchange(const spec::RunSpec& spec);

// Bytes of what TeraGPT has under way at the most, in backward; 0 with one rank.
double context_passing_bytes(const spec::RunSpec& spec);

}  // namespace tera::plan
