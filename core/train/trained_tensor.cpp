#include "core/train/trained_tensor.h"

#include <algorithm>
#include <numeric>

#include "core/base/check.h"
#include "core/plan/optimizer_state.h"

namespace tera::train {

TrainedTensor::TrainedTensor(Backend& backend, nn::Param& trained, const spec::RunSpec& spec)
    : param(&trained), rounding(spec.seed, RngPurpose::rounding, name_hash(trained.spec.name)) {
  for (const plan::StateTensor& planned : plan::optimizer_state(trained.spec, spec.training)) {
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

namespace {

// Noise of elements [begin, begin + n) of a tensor: eight 16-bit numbers from each counter.
void fill_noise(const Philox& rounding,
                std::int64_t step,
                std::int64_t begin,
                const Tensor& noise) {
  constexpr std::int64_t kPerCounter = 8;
  constexpr std::int64_t kBlock = 4096;
  const std::int64_t end = begin + noise.num_elements();
  const std::int64_t first = begin / kPerCounter * kPerCounter;
  auto* to = noise.data<std::uint16_t>();
  noise.backend().context().executor->parallel_for(
      (end - first + kBlock - 1) / kBlock, [&](std::int64_t block, int /*worker*/) {
        const std::int64_t from = first + block * kBlock;
        for (std::int64_t at = from; at < std::min(end, from + kBlock); at += kPerCounter) {
          const auto words = rounding.words(static_cast<std::uint64_t>(step),
                                            static_cast<std::uint64_t>(at / kPerCounter));
          for (std::int64_t i = std::max(at, begin); i < std::min(end, at + kPerCounter); ++i) {
            const auto k = static_cast<std::size_t>(i - at);
            to[i - begin] = static_cast<std::uint16_t>(words[k / 2] >> (k % 2 == 0 ? 0U : 16U));
          }
        }
      });
}

void update_without_master(TrainedTensor& tensor,
                           const MatrixPart& part,
                           std::int64_t step,
                           const std::function<void(const UpdatedView&)>& update) {
  Backend& backend = tensor.param->value.backend();
  const kernels::OpTable& ops = backend.ops();
  const std::int64_t end = part.begin + part.rows * part.cols;
  const std::int64_t piece = plan::update_piece(part.rows, part.cols);
  const Tensor wide = Tensor::empty(backend, {piece}, DType::f32, MemoryKind::workspace);
  const Tensor noise = Tensor::empty(backend, {piece}, DType::u16, MemoryKind::workspace);
  for (std::int64_t at = part.begin; at < end; at += piece) {
    const std::int64_t count = std::min(piece, end - at);
    const Tensor weight = as_row(tensor.param->value, at, count);
    const Tensor target = wide.slice(0, 0, count);
    const Tensor chance = noise.slice(0, 0, count);
    ops.copy(backend.context(), weight, target);
    update({.target = target, .weight = {}, .begin = at, .count = count});
    fill_noise(tensor.rounding, step, at, chance);
    ops.stochastic_round(backend.context(), target, chance, weight);
  }
}

}  // namespace

void update_weight(TrainedTensor& tensor,
                   const MatrixPart& part,
                   std::int64_t step,
                   const std::function<void(const UpdatedView&)>& update) {
  const Tensor* master = tensor.find("master");
  if (master == nullptr && tensor.param->value.dtype() != DType::f32)
    return update_without_master(tensor, part, step, update);
  const std::int64_t count = part.rows * part.cols;
  const Tensor weight = as_row(tensor.param->value, part.begin, count);
  update({.target = master != nullptr ? as_row(*master, part.begin, count) : weight,
          .weight = master != nullptr ? weight : Tensor(),
          .begin = part.begin,
          .count = count});
}

}  // namespace tera::train
