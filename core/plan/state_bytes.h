// Bytes of weights, gradients and optimizer state by the software that keeps them.
#pragma once
#include <array>
#include <cstddef>
#include <string_view>

#include "core/plan/param_table.h"
#include "core/spec/run_spec.h"

namespace tera::plan {

enum class StateKind : std::uint8_t { weights, gradients, master, moments };
inline constexpr std::array<std::string_view, 4> kStateKinds = {"weights", "gradients", "master",
                                                                "moments"};

// One thing kept for every element. `copies` of weights are what products read beside the weights;
// of gradients, what they become before the update.
enum class StateItem : std::uint8_t {
  weights,
  weight_copies,
  gradients,
  gradient_copies,
  master,
  moments
};
inline constexpr std::size_t kNumStateItems = 6;
using StateBytes = std::array<double, kNumStateItems>;  // [StateItem]

// Of a whole tensor, before anything is split or sharded. TeraGPT's are exact (optimizer_state.h).
StateBytes state_bytes(const ParamSpec& param, const spec::RunSpec& spec);

// Bytes of the number in which gradients of micro-batches are summed. Megatron-LM and DeepSpeed sum
// those of fp16 training in fp16 (arguments.py, --accumulate-allreduce-grads-in-fp32).
double gradient_sum_bytes(const spec::RunSpec& spec);

// Of TeraGPT with several micro-batches: replicas exchange gradients once a step, so that ZeRO 2 and
// 3 share them out after the last micro-batch only (param_buckets.h).
bool keeps_whole_gradients(const spec::RunSpec& spec);

// Of the item under the spec's software: its kind, the first ZeRO stage that shares it out among
// replicas, and why it is there.
struct StateRule {
  StateKind kind = StateKind::weights;
  int zero_from = 1;
  std::string_view label;
  std::string_view source;
};
StateRule state_rule(StateItem item, const spec::RunSpec& spec);

// Share of a number in 8 or 4 bits and its scale, in bytes per element; 2 for bf16.
double product_bytes(spec::Precision precision);

}  // namespace tera::plan
