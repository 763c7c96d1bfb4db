// How each optimizer updates one tensor. Math in f32 on the ops of the backend, so an update gives
// the same bits for every number of threads.
#pragma once
#include <cstdint>

#include "core/train/trained_tensor.h"

namespace tera::train {

struct UpdateStep {  // what a step is for one tensor
  double learning_rate = 0;
  double weight_decay = 0;
  double grad_scale = 1;    // clipping, applied to the gradient as it is read
  std::int64_t number = 1;  // from 1
};

void update_adamw(TrainedTensor& tensor,
                  const spec::TrainingConfig& config,
                  const UpdateStep& step);
void update_lion(TrainedTensor& tensor, const spec::TrainingConfig& config, const UpdateStep& step);
void update_sgd(TrainedTensor& tensor, const spec::TrainingConfig& config, const UpdateStep& step);
// Each matrix (of each expert) for itself: factored second moments, an update whose root mean
// square is at most adafactor_clip_threshold, and a step relative to the root mean square of the
// matrix. Source: Shazeer and Stern 2018, algorithm 4, in the form of torch.optim.Adafactor.
void update_adafactor(TrainedTensor& tensor,
                      const spec::TrainingConfig& config,
                      const UpdateStep& step);
// Each matrix for itself, q, k, v and gate, up apart: the momentum made orthogonal.
// Source: Jordan et al. 2024, "Muon: an optimizer for hidden layers in neural networks".
void update_muon(TrainedTensor& tensor, const spec::TrainingConfig& config, const UpdateStep& step);

// x [M,N] f32 is replaced by a matrix with the same singular vectors and singular values near 1
// (between 0.7 and 1.2 after five iterations, unless they were tiny against the Frobenius norm).
void newton_schulz(Tensor& x, int iterations);

}  // namespace tera::train
