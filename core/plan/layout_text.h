// A layout in words.
#pragma once
#include <string>

#include "core/spec/parallel_layout.h"

namespace tera::plan {

// "tensor 4, pipeline 8, chunks 2, micro-batch 1, interleaved, recompute none, zero 1": the sizes
// that are not 1, and the choices.
std::string layout_text(const spec::ParallelLayout& layout);

}  // namespace tera::plan
