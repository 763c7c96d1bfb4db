// How much more than the mean the busiest expert-parallel rank gets to do.
#pragma once
#include <cstdint>

#include "core/spec/run_spec.h"

namespace tera::plan {

// Rows of the busiest of the ranks that share out the experts of a layer, over the mean: at the
// percentile of layout.expert_load_percentile. 1 with one rank, at percentile 0, and where a
// capacity bounds every expert. The load of a rank is taken as normal, its spread from the drawing
// of tokens and from experts that are liked more than others.
double busiest_expert_load(const spec::RunSpec& spec, double percentile);

// Rows of the buffers in which a rank has those of its experts, 1 at least: `load` times those of
// an even load, never more than `most_rows` that can come. More rows than that take their turns.
std::int64_t expert_buffer_rows(double load, std::int64_t even_rows, std::int64_t most_rows);

// x with P(normal <= x) = p, for 0 < p < 1.
double normal_quantile(double p);

}  // namespace tera::plan
