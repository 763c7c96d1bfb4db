// Loops of known work, for measure_peaks.
#pragma once
#include <cstdint>

namespace tera::kernels::cpu {

// Runs `rounds` of a loop that is bound by its multiply-adds; returns the floating-point operations
// done. `sink` keeps the result.
using PeakLoop = double (*)(std::int64_t rounds, float* sink);

PeakLoop bf16_peak_loop();  // null without bf16 dot products

}  // namespace tera::kernels::cpu
