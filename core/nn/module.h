// The contract of every layer: forward, and backward in two halves, by hand.
//
// forward keeps what it needs in the stash; backward_input turns the gradient of the output into
// the gradient of the input and keeps (input, gradient) pairs; backward_weight adds to Param::grad
// and releases everything the module kept. The halves may be apart in time (zero-bubble schedules)
// and a module may run forward for several micro-batches (each with its own stash) before a
// backward. Activations are [T, H] in the compute dtype; T = batch.batch_size x batch.seq_length.
#pragma once
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <string>
#include <type_traits>
#include <vector>

#include "core/base/check.h"
#include "core/base/turns.h"
#include "core/comm/communicator.h"
#include "core/nn/param_store.h"
#include "core/nn/part_watcher.h"
#include "core/nn/stash.h"
#include "core/spec/parallel_layout.h"
#include "core/tensor/tensor.h"

namespace tera::nn {

struct Batch {  // one micro-batch
  int batch_size = 0;
  int seq_length = 0;
  Tensor tokens;     // [T] i32
  Tensor targets;    // [T] i32; -1 = no loss on this token; absent at inference
  Tensor positions;  // [T] i32, restarts at each document when documents are isolated
  Tensor first_key;  // [B, S] i32: first position of the sequence that token may attend to
  // Of context ranks, which have parts of the sequences alone (context_parallel.h): these whole,
  // places in which first_key counts. Null: these are whole.
  std::shared_ptr<const Batch> whole = nullptr;
};

struct RouterStats {  // of one MoE layer, summed over the micro-batches of a step
  // [E] tokens that chose the expert, before any drop; with expert choice tokens it took.
  std::vector<std::int64_t> expert_tokens;
  // Choices without a row in an expert, of so many: (token, k) pairs that found it full; with
  // expert choice tokens that no expert took.
  std::int64_t dropped = 0;
  std::int64_t offered = 0;
  double balance_loss = 0;  // coefficient included, weighted like the loss
  double z_loss = 0;
  // [E] choices of the step so far over all replicas, for balance over the global batch.
  std::vector<std::int64_t> running_choices;
};

// Where a micro-batch stands in a training run. Sequences have the order of ORDER.md.
struct TrainingPlace {
  std::uint64_t seed = 0;
  std::int64_t step = 0;                   // optimizer steps before
  std::int64_t first_sequence = 0;         // of this micro-batch, in the global batch
  comm::Communicator* replicas = nullptr;  // data-parallel ranks; null: this one alone
};

struct PredictionStats {  // of multi-token prediction, over its layers and the micro-batches
  double loss_sum = 0;    // natural log, unscaled
  std::int64_t num_targets = 0;
};

struct Pass {  // what one micro-batch carries through the modules
  const Batch& batch;
  Stash& stash;
  // 1 / (targets with loss in the whole global batch): token losses are summed, then scaled.
  double loss_scale = 1;
  // This micro-batch's share of the global batch: weight of the auxiliary losses.
  double batch_share = 1;
  std::vector<RouterStats>* router_stats = nullptr;  // [all layers]; may be null
  PredictionStats* prediction_stats = nullptr;       // null: evaluation leaves these layers out
  // Absent: evaluation, which has no noise and drops nothing.
  std::optional<TrainingPlace> training = {};
  PartWatcher* watcher = nullptr;  // told before and after each part of the model
  // What backward computes again instead of finding it in the stash.
  spec::RecomputeKind recompute = spec::RecomputeKind::none;
  // Of two micro-batches that are computed in turns, while rows of the other travel; null: alone.
  Turns* turns = nullptr;

  // Rows of this micro-batch are on their way.
  void pass_on() const {
    if (turns != nullptr) turns->pass_on();
  }
  // Norm outputs and activations, which are cheap to compute again.
  bool keeps_cheap() const { return recompute != spec::RecomputeKind::selective; }
  // Memory of one of them: in the stash under this name, or for as long as the caller holds it.
  Tensor cheap(const std::string& name,
               std::initializer_list<std::int64_t> shape,
               DType dtype) const {
    return keeps_cheap() ? stash.put(name, shape, dtype)
                         : Tensor::empty(stash.backend(), shape, dtype, MemoryKind::workspace);
  }

  // Runs `compute`, the forward or the backward of a part of the model.
  template <class Compute>
  auto forward_part(int part, const Compute& compute) const {
    return watched(part, &PartWatcher::before_forward, &PartWatcher::after_forward, compute);
  }
  template <class Compute>
  auto backward_part(int part, const Compute& compute) const {
    return watched(part, &PartWatcher::before_backward, &PartWatcher::after_backward, compute);
  }

  // The statistics of a layer; null when nobody wants them.
  RouterStats* stats_of(int layer) const {
    if (router_stats == nullptr) return nullptr;
    TERA_CHECK(layer >= 0 && layer < std::ssize(*router_stats),
               "router statistics for {} layers, layer is {}", router_stats->size(), layer);
    return &(*router_stats)[static_cast<std::size_t>(layer)];
  }

 private:
  using Notice = void (PartWatcher::*)(int part);
  template <class Compute>
  auto watched(int part, Notice before, Notice after, const Compute& compute) const {
    if (watcher == nullptr) return compute();
    (watcher->*before)(part);
    if constexpr (std::is_void_v<decltype(compute())>) {
      compute();
      (watcher->*after)(part);
    } else {
      auto result = compute();
      (watcher->*after)(part);
      return result;
    }
  }
};

class Module {
 public:
  virtual ~Module() = default;
  virtual Tensor forward(const Tensor& x, Pass& pass) = 0;
  virtual Tensor backward_input(const Tensor& dy, Pass& pass) = 0;
  virtual void backward_weight(Pass& pass) = 0;
  // Whether backward_input reads the input that backward_weight reads, which may have to be
  // computed again.
  virtual bool reads_input_early(const Pass& /*pass*/) const { return false; }
};

}  // namespace tera::nn
