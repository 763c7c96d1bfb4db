#include <algorithm>
#include <cmath>
#include <utility>

#include "core/train/update_rules.h"

namespace tera::train {
namespace {

// Of the polynomial a x + b x^3 + c x^5, steepest at zero. Source: Jordan et al. 2024.
constexpr double kA = 3.4445;
constexpr double kB = -4.7750;
constexpr double kC = 2.0315;
constexpr double kLeastNorm = 1e-7;

double adjustment(spec::MuonAdjustLr kind, const MatrixPart& part) {
  const auto m = static_cast<double>(part.rows);
  const auto n = static_cast<double>(part.cols);
  return kind == spec::MuonAdjustLr::original ? std::sqrt(std::max(1.0, m / n))
                                              : 0.2 * std::sqrt(std::max(m, n));
}

}  // namespace

void newton_schulz(Tensor& x, int iterations) {
  Backend& backend = x.backend();
  const kernels::OpTable& ops = backend.ops();
  const kernels::Context& context = backend.context();
  const bool tall = x.dim(0) > x.dim(1);
  const std::int64_t small = std::min(x.dim(0), x.dim(1));
  const auto temporary = [&](std::int64_t rows, std::int64_t cols) {
    return Tensor::empty(backend, {rows, cols}, DType::f32, MemoryKind::workspace);
  };
  Tensor next = temporary(x.dim(0), x.dim(1));
  const Tensor gram = temporary(small, small);
  const Tensor polynomial = temporary(small, small);
  const double norm = std::sqrt(ops.sum_of_squares(context, x));
  ops.scale(context, x, 1 / std::max(norm, kLeastNorm), x);
  for (int i = 0; i < iterations; ++i) {
    // X <- a X + (b G + c G^2) X with G = X X^T, or from the right with G = X^T X when X is tall.
    ops.matmul(context, x, x, gram, {.transpose_a = tall, .transpose_b = !tall});
    ops.scale(context, gram, kB / kC, polynomial);
    ops.matmul(context, gram, gram, polynomial, {.accumulate = true});
    ops.scale(context, x, kA / kC, next);
    ops.matmul(context, tall ? x : polynomial, tall ? polynomial : x, next, {.accumulate = true});
    ops.scale(context, next, kC, next);
    std::swap(x, next);
  }
}

void update_muon(TrainedTensor& tensor,
                 const spec::TrainingConfig& config,
                 const UpdateStep& step) {
  Backend& backend = tensor.value().backend();
  const kernels::OpTable& ops = backend.ops();
  const kernels::Context& context = backend.context();
  for (const MatrixPart& part : matrix_parts(tensor.held, true)) {
    const Tensor momentum = as_matrix(tensor.state("momentum_buffer"), part);
    Tensor direction =
        Tensor::empty(backend, {part.rows, part.cols}, DType::f32, MemoryKind::workspace);
    ops.scale(context, as_matrix(tensor.grad(), part), step.grad_scale, direction);
    ops.lerp(context, direction, 1 - config.muon_momentum, momentum);
    if (config.muon_nesterov) {
      ops.lerp(context, momentum, config.muon_momentum, direction);
    } else {
      ops.copy(context, momentum, direction);
    }
    newton_schulz(direction, config.muon_ns_steps);
    const kernels::SgdOptions options{.learning_rate = step.learning_rate,
                                      .weight_decay = step.weight_decay,
                                      .grad_scale = adjustment(config.muon_adjust_lr, part)};
    update_weight(tensor, part, step.number, [&](const UpdatedView& at) {
      ops.sgd(context, at.weight, as_row(direction, at.begin - part.begin, at.count),
              kernels::View(), options);
    });
  }
}

}  // namespace tera::train
