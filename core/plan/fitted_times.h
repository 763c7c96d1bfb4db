// Constants of the time model that are fitted to published step times (calibration.h), as one value
// that whoever predicts passes on. The others are in time_constants.h.
#pragma once
#include <array>
#include <string_view>

#include "core/plan/time_constants.h"

namespace tera::plan {

struct FittedTimes {
  double operand_cost = kOperandCost.value;
  double host_ops = kHostOps.value;
  double kernel_gap = kKernelGap.value;
  double eager_traffic = kEagerTraffic.value;
  double eager_update = kEagerUpdate.value;
  double blocking_start = kBlockingStart.value;
  double restart_ops = kRestartOps.value;
  double ring_levels = kRingLevels.value;
  double tensor_shown = kTensorShown.value;
  double gradient_shown = kGradientShown.value;
  double sync_apart = kSyncApart.value;
  double blocking_send = kBlockingSend.value;
  double routing_ops = kRoutingOps.value;
  double expert_shown = kExpertShown.value;
  double overlap_host = kOverlapHost.value;
  double dispatch_ops = kDispatchOps.value;
  double buffered_accesses = kBufferedAccesses.value;
  double exchange_setup_s = kExchangeSetup.value;
  bool operator==(const FittedTimes&) const = default;
};

// What was known of a constant before any published step time, and the bounds of what is physical.
struct FittedTime {
  const Constant* constant = nullptr;
  double FittedTimes::*value = nullptr;
  double expected = 0;
  double low = 0;
  double high = 0;
  std::string_view source;  // of what was expected
};

inline constexpr std::array kFittedTimes = {
    FittedTime{&kOperandCost, &FittedTimes::operand_cost, 16, 5, 40,
               "NVIDIA, Matrix Multiplication Background User's Guide, section 2.2: tiles of a "
               "quarter of the size are about 0.8 times as fast"},
    FittedTime{&kHostOps, &FittedTimes::host_ops, 5, 2, 15,
               "about 20 us for an operation by Python and autograd, of 4 us for its kernel"},
    FittedTime{&kKernelGap, &FittedTimes::kernel_gap, 0.4, 0.1, 1.5,
               "1 to 2 us between queued kernels in profiles"},
    FittedTime{&kEagerTraffic, &FittedTimes::eager_traffic, 2, 1.2, 3,
               "an elementwise pair fused passes over memory once, apart twice"},
    FittedTime{&kEagerUpdate, &FittedTimes::eager_update, 3, 1.5, 4.5,
               "PyTorch's foreach Adam: 84 B of traffic for a parameter, 28 B when fused"},
    FittedTime{&kBlockingStart, &FittedTimes::blocking_start, 1.5, 0.5, 4,
               "the host's own time and a wait of 10 us for each operation"},
    FittedTime{&kRestartOps, &FittedTimes::restart_ops, 6, 2, 20,
               "operations of a layer up to its first product, after those of the message"},
    FittedTime{&kRingLevels, &FittedTimes::ring_levels, 0.25, 0.05, 1,
               "0 where both levels of a ring work at the same time, 1 where one after the other"},
    FittedTime{&kTensorShown, &FittedTimes::tensor_shown, 0.25, 0.1, 0.8,
               "the first and the last of eight pieces"},
    FittedTime{&kGradientShown, &FittedTimes::gradient_shown, 0.1, 0.03, 0.4,
               "the last of about ten buckets"},
    FittedTime{&kSyncApart, &FittedTimes::sync_apart, 1.1, 1, 2,
               "copies into and out of a buffer at the speed of memory beside the links"},
    FittedTime{&kBlockingSend, &FittedTimes::blocking_send, 0.8, 0.2, 1,
               "1 where a sender waits for all of a message"},
    FittedTime{&kRoutingOps, &FittedTimes::routing_ops, 50, 15, 150,
               "operations of router, permutation and exchange in Megatron-LM"},
    FittedTime{&kExpertShown, &FittedTimes::expert_shown, 0.6, 0.3, 1,
               "Megatron-Bridge, notes on expert-parallel overlap: 0.63 of the time of exchanges "
               "still showed in a profile of 16 H100"},
    FittedTime{&kOverlapHost, &FittedTimes::overlap_host, 1.4, 1, 3,
               "five parts of a layer, each with hooks, streams and events of its own"},
    FittedTime{&kDispatchOps, &FittedTimes::dispatch_ops, 25, 8, 80, "half of those of routing"},
    FittedTime{&kBufferedAccesses, &FittedTimes::buffered_accesses, 6, 4, 12,
               "a copy out of buffers, a weighted sum, a copy into buffers: each reads and writes"},
    FittedTime{&kExchangeSetup, &FittedTimes::exchange_setup_s, 100e-6, 20e-6, 500e-6,
               "counts are exchanged and waited for, at latencies of 5 to 10 us between each two"},
};

}  // namespace tera::plan
