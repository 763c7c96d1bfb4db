// A layout in a word, as people say it: "tp2", "dp2-zero3", "pp2-zb-v", "tp2-ep4-dp2".
#pragma once
#include <string>

#include "core/base/result.h"
#include "core/spec/parallel_layout.h"

namespace tera::app {

// Degrees of tp (with sequence parallelism), pp, dp, ep, etp, a ZeRO stage and a schedule, joined
// by
// "-", over the rest of `base`. Where experts need more ranks than tp and dp make, replicas make
// them up: ep2 is dp2-ep2. Errors name the part.
Result<spec::ParallelLayout> layout_of(const std::string& word, spec::ParallelLayout base = {});

}  // namespace tera::app
