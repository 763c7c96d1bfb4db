// A layout in a word, as people say it: "tp2", "dp2-zero3", "pp2-zb-v", "tp2-ep4-dp2".
#pragma once
#include <string>

#include "core/base/result.h"
#include "core/spec/parallel_layout.h"

namespace tera::app {

// Degrees of tp (with sequence parallelism), cp (with ulysses in place of a ring), pp, dp, ep, etp,
// a ZeRO stage and a schedule, joined by "-". Where experts need more ranks than tp, cp and dp
// make, replicas make them up: ep2 is dp2-ep2. Errors name the part that is unknown, said twice or
// without effect: ulysses, a schedule or ZeRO without ranks that it speaks of, in a model with
// experts or without.
Result<spec::ParallelLayout> layout_of(const std::string& word, bool has_experts);

}  // namespace tera::app
