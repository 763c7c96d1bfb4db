// What this machine's processors and memory do for the engine: the numbers of a device profile.
#pragma once
#include <functional>

#include "core/base/thread_pool.h"
#include "kernels/bench.h"

namespace tera::app {

// Of products and of attention in one dtype, forward and backward together, flops per second.
struct ComputeRates {
  double matmul = 0;     // products of the size that small models have
  double attention = 0;  // causal, forward and backward
};

// Peaks are the highest that were seen. All else is the median of what was seen over a while: what
// a run that goes on for long gets of this machine, beside what else is on it.
struct DeviceRates {
  kernels::Peaks peaks;
  ComputeRates f32, bf16;
  double add_bytes_per_s = 0;  // an elementwise op of the engine, beyond any cache
  double op_overhead_s = 0;    // of an op that does nothing much
};

// In `sweeps` over all of these, one after the other, of about three seconds each; fewer when
// go_on(sweeps done) says no.
DeviceRates measure_device_rates(ThreadPool& pool,
                                 int sweeps,
                                 const std::function<bool(int)>& go_on);

}  // namespace tera::app
