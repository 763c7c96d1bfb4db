// Gradients over the data-parallel ranks: summed (the loss is already divided by the global token
// count), measured and clipped.
#pragma once
#include "core/comm/communicator.h"
#include "core/nn/param_store.h"
#include "core/spec/run_spec.h"

namespace tera::train {

// Sums every gradient over the group, in rank order. Nothing to do for a group of one.
void sum_gradients(nn::ParamStore& params, comm::Communicator& data_parallel);

// Where the first and the last stage of a pipeline both hold the embedding matrix, both get the sum
// of the two gradients: equal bits, so that the copies stay equal. After the last backward of a
// step, before sums over replicas.
void sum_embedding_copies(nn::ParamStore& params,
                          const spec::RunSpec& spec,
                          comm::Communicator& pipeline);

// Global 2-norm of the gradients over the stages of a pipeline (replicated over data-parallel
// ranks), f64; copies count once. Squares are added up tensor by tensor in the order of the model's
// table, so that the bits are those of one rank.
double gradient_norm(const nn::ParamStore& params,
                     const spec::RunSpec& spec,
                     comm::Communicator& pipeline);

// Factor on the gradients so that their norm is at most max_norm; 1 when max_norm is 0 (off).
double clip_factor(double norm, double max_norm);

}  // namespace tera::train
