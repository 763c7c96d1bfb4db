// The contract of every layer: forward, and backward in two halves, by hand.
//
// forward keeps what it needs in the stash; backward_input turns the gradient of the output into
// the gradient of the input and keeps (input, gradient) pairs; backward_weight adds to Param::grad
// and releases everything the module kept. The halves may be apart in time (zero-bubble schedules)
// and a module may run forward for several micro-batches (each with its own stash) before a
// backward. Activations are [T, H] in the compute dtype; T = batch.batch_size x batch.seq_length.
#pragma once
#include <cstdint>
#include <vector>

#include "core/nn/param_store.h"
#include "core/nn/stash.h"
#include "core/tensor/tensor.h"

namespace tera::nn {

struct Batch {  // one micro-batch
  int batch_size = 0;
  int seq_length = 0;
  Tensor tokens;     // [T] i32
  Tensor targets;    // [T] i32; -1 = no loss on this token; absent at inference
  Tensor positions;  // [T] i32, restarts at each document when documents are isolated
  Tensor first_key;  // [B, S] i32: first position of the sequence that token may attend to
};

struct RouterStats {  // of one MoE layer, summed over the micro-batches of a step
  std::vector<std::int64_t> expert_tokens;  // [E]
  double balance_loss = 0;                  // coefficient included, weighted like the loss
  double z_loss = 0;
};

struct Pass {  // what one micro-batch carries through the modules
  const Batch& batch;
  Stash& stash;
  // 1 / (targets with loss in the whole global batch): token losses are summed, then scaled.
  double loss_scale = 1;
  // This micro-batch's share of the global batch: weight of the auxiliary losses.
  double batch_share = 1;
  std::vector<RouterStats>* router_stats = nullptr;  // [num_layers]; may be null
};

class Module {
 public:
  virtual ~Module() = default;
  virtual Tensor forward(const Tensor& x, Pass& pass) = 0;
  virtual Tensor backward_input(const Tensor& dy, Pass& pass) = 0;
  virtual void backward_weight(Pass& pass) = 0;
};

}  // namespace tera::nn
