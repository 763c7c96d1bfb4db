// Gradients over the data-parallel ranks: summed (the loss is already divided by the global token
// count), measured and clipped.
#pragma once
#include "core/comm/communicator.h"
#include "core/nn/param_store.h"

namespace tera::train {

// Sums every gradient over the group, in rank order. Nothing to do for a group of one.
void sum_gradients(nn::ParamStore& params, comm::Communicator& data_parallel);

// Global 2-norm of the gradients this rank holds (replicated over data-parallel ranks), f64.
double gradient_norm(const nn::ParamStore& params);

// Factor on the gradients so that their norm is at most max_norm; 1 when max_norm is 0 (off).
double clip_factor(double norm, double max_norm);

}  // namespace tera::train
