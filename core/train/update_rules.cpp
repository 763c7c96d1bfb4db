#include "core/train/update_rules.h"

#include <algorithm>
#include <cmath>

namespace tera::train {
namespace {

// Updates all elements of the tensor with an elementwise op.
void update_all(TrainedTensor& tensor,
                const UpdateStep& step,
                const std::function<void(const UpdatedView&)>& update) {
  update_weight(tensor, {.begin = 0, .rows = tensor.param->num_owned(), .cols = 1}, step.number,
                update);
}

}  // namespace

void update_adamw(TrainedTensor& tensor,
                  const spec::TrainingConfig& config,
                  const UpdateStep& step) {
  const kernels::AdamWOptions options{.learning_rate = step.learning_rate,
                                      .beta1 = config.adam_beta1,
                                      .beta2 = config.adam_beta2,
                                      .eps = config.adam_eps,
                                      .weight_decay = step.weight_decay,
                                      .grad_scale = step.grad_scale,
                                      .step = step.number};
  Backend& backend = tensor.value().backend();
  const Tensor& m = tensor.state("exp_avg");
  const Tensor& v = tensor.state("exp_avg_sq");
  const Tensor* master = tensor.find("master");
  if (master != nullptr && master->dtype() == DType::u16) {
    const auto all = [](const Tensor& x) { return as_row(x, 0, x.num_elements()); };
    return backend.ops().adamw_halves(backend.context(), tensor.value(), all(*master),
                                      tensor.grad(), all(m), all(v), options);
  }
  update_all(tensor, step, [&](const UpdatedView& at) {
    backend.ops().adamw(backend.context(), at.weight, as_row(tensor.grad(), at.begin, at.count),
                        as_row(m, at.begin, at.count), as_row(v, at.begin, at.count), options);
  });
}

void update_lion(TrainedTensor& tensor,
                 const spec::TrainingConfig& config,
                 const UpdateStep& step) {
  const kernels::LionOptions options{.learning_rate = step.learning_rate,
                                     .beta1 = config.lion_beta1,
                                     .beta2 = config.lion_beta2,
                                     .weight_decay = step.weight_decay,
                                     .grad_scale = step.grad_scale};
  Backend& backend = tensor.value().backend();
  const Tensor& m = tensor.state("exp_avg");
  update_all(tensor, step, [&](const UpdatedView& at) {
    backend.ops().lion(backend.context(), at.weight, as_row(tensor.grad(), at.begin, at.count),
                       as_row(m, at.begin, at.count), options);
  });
}

void update_sgd(TrainedTensor& tensor, const spec::TrainingConfig& config, const UpdateStep& step) {
  const kernels::SgdOptions options{.learning_rate = step.learning_rate,
                                    .momentum = config.sgd_momentum,
                                    .nesterov = config.sgd_nesterov,
                                    .weight_decay = step.weight_decay,
                                    .grad_scale = step.grad_scale};
  Backend& backend = tensor.value().backend();
  const Tensor* m = tensor.find("momentum_buffer");
  update_all(tensor, step, [&](const UpdatedView& at) {
    backend.ops().sgd(backend.context(), at.weight, as_row(tensor.grad(), at.begin, at.count),
                      m != nullptr ? as_row(*m, at.begin, at.count) : Tensor(), options);
  });
}

void update_adafactor(TrainedTensor& tensor,
                      const spec::TrainingConfig& config,
                      const UpdateStep& step) {
  Backend& backend = tensor.value().backend();
  const kernels::OpTable& ops = backend.ops();
  const auto number = static_cast<double>(step.number);
  const Tensor* row_var = tensor.find("row_var");
  const Tensor& col_var = tensor.state(row_var != nullptr ? "col_var" : "variance");
  // Its size alone is read of the weight: bf16 will do where the master is in halves.
  const Tensor* master = tensor.find("master");
  const Tensor sized =
      master != nullptr && master->dtype() == DType::f32 ? *master : tensor.value();
  std::int64_t index = 0;
  for (const MatrixPart& part : matrix_parts(tensor.held, false)) {
    const Tensor grad = as_matrix(tensor.grad(), part);
    const Tensor rows =
        row_var != nullptr ? as_row(*row_var, index * part.rows, part.rows) : Tensor();
    const Tensor cols = as_row(col_var, index * part.cols, part.cols);
    ++index;
    const auto elements = static_cast<double>(part.rows * part.cols);
    const Tensor weight = as_matrix(sized, part);
    const double weight_rms = std::sqrt(ops.sum_of_squares(backend.context(), weight) / elements);
    kernels::AdafactorOptions options{.decay = step.learning_rate * step.weight_decay,
                                      .grad_scale = step.grad_scale};
    const double mean = ops.factored_moments(backend.context(), grad, rows, cols, step.grad_scale,
                                             std::pow(number, config.adafactor_beta2_decay));
    options.row_mean = std::max(mean, options.eps);
    const double update_rms =
        std::sqrt(ops.adafactor_norm(backend.context(), grad, rows, cols, options) / elements);
    options.learning_rate = std::min(step.learning_rate, 1 / std::sqrt(number)) *
                            std::max(config.adafactor_min_rms, weight_rms) /
                            std::max(1.0, update_rms / config.adafactor_clip_threshold);
    update_weight(tensor, part, step.number, [&](const UpdatedView& at) {
      const std::int64_t first = (at.begin - part.begin) / part.cols;
      const std::int64_t count = at.count / part.cols;
      const auto matrix = [&](const Tensor& row) {
        return row.present() ? row.reshape({count, part.cols}) : row;
      };
      ops.adafactor(backend.context(), matrix(at.weight), grad.slice(0, first, first + count),
                    rows.present() ? rows.slice(0, first, first + count) : rows, cols, options);
    });
  }
}

}  // namespace tera::train
