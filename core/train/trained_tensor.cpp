#include "core/train/trained_tensor.h"

#include <algorithm>
#include <numeric>

#include "core/base/check.h"
#include "core/plan/optimizer_state.h"

namespace tera::train {

TrainedTensor::TrainedTensor(Backend& backend,
                             nn::Param& trained,
                             const spec::TrainingConfig& training)
    : param(&trained) {
  for (const plan::StateTensor& planned : plan::optimizer_state(trained.spec, training)) {
    states.push_back(
        {planned.role, Tensor::zeros(backend, planned.shape, DType::f32, MemoryKind::optimizer)});
    if (planned.role == "master" || planned.role == "ema")
      backend.ops().copy(backend.context(), trained.value, states.back().tensor);
  }
}

Tensor* TrainedTensor::find(std::string_view role) {
  const auto found =
      std::find_if(states.begin(), states.end(), [&](const State& s) { return s.role == role; });
  return found == states.end() ? nullptr : &found->tensor;
}

Tensor& TrainedTensor::state(std::string_view role) {
  Tensor* found = find(role);
  TERA_CHECK(found != nullptr, "'{}' has no optimizer state '{}'", param->spec.name, role);
  return *found;
}

std::vector<MatrixPart> matrix_parts(const plan::ParamSpec& param, bool split_stacks) {
  const std::int64_t cols = param.shape.back();
  if (param.shape.size() == 1) return {{0, 1, cols}};
  std::vector<std::int64_t> row_parts = param.row_parts;
  if (!split_stacks)
    row_parts = {std::accumulate(row_parts.begin(), row_parts.end(), std::int64_t{0})};
  std::vector<MatrixPart> parts;
  for (std::int64_t begin = 0; begin < param.num_elements();) {
    for (const std::int64_t rows : row_parts) {
      parts.push_back({begin, rows, cols});
      begin += rows * cols;
    }
  }
  return parts;
}

void update_ema(TrainedTensor& tensor, double decay) {
  const Tensor* ema = tensor.find("ema");
  if (ema == nullptr) return;
  const Backend& backend = ema->backend();
  const Tensor* master = tensor.find("master");
  backend.ops().lerp(backend.context(), master != nullptr ? *master : tensor.param->value,
                     1 - decay, *ema);
}

Tensor as_row(const Tensor& tensor, std::int64_t begin, std::int64_t count) {
  return tensor.reshape({tensor.num_elements()}).slice(0, begin, begin + count);
}

Tensor as_matrix(const Tensor& tensor, const MatrixPart& part) {
  return as_row(tensor, part.begin, part.rows * part.cols).reshape({part.rows, part.cols});
}

void update_weight(TrainedTensor& tensor,
                   std::int64_t begin,
                   std::int64_t count,
                   const std::function<void(const UpdatedView&)>& update) {
  const Tensor weight = as_row(tensor.param->value, begin, count);
  const Tensor* master = tensor.find("master");
  update({.target = master != nullptr ? as_row(*master, begin, count) : weight,
          .weight = master != nullptr ? weight : Tensor(),
          .begin = begin,
          .count = count});
}

}  // namespace tera::train
