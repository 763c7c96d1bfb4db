#include "core/train/trained_tensor.h"

#include <algorithm>
#include <numeric>

#include "core/base/check.h"
#include "core/plan/optimizer_state.h"

namespace tera::train {

TrainedTensor::TrainedTensor(Backend& backend, nn::Param& trained, const spec::RunSpec& spec)
    : param(&trained),
      held(plan::LocalParam{trained.spec, trained.slice}.local()),
      rounding(spec.seed, RngPurpose::rounding, name_hash(trained.spec.name)) {
  if (trained.bucket != nullptr) held.shape = {trained.num_owned()};
  for (const plan::StateTensor& planned : plan::optimizer_state(held, spec.training)) {
    states.push_back({planned.role,
                      Tensor::zeros(backend, planned.shape, planned.dtype, MemoryKind::optimizer)});
    // The lower half of a bf16 weight as it is is zero.
    const bool copies = planned.role == "master" || planned.role == "ema";
    if (copies && planned.dtype == DType::f32)
      backend.ops().copy(backend.context(), value(),
                         as_row(states.back().tensor, 0, value().num_elements()));
  }
}

Tensor TrainedTensor::whole(const State& state) const {
  if (state.tensor.dtype() == DType::f32) return state.tensor;
  Backend& backend = state.tensor.backend();
  const std::int64_t n = state.tensor.num_elements();
  Tensor made = Tensor::empty(backend, state.tensor.shape(), DType::f32, MemoryKind::workspace);
  backend.ops().join_halves(backend.context(), value(), as_row(state.tensor, 0, n),
                            as_row(made, 0, n));
  return made;
}

void TrainedTensor::assign(State& state, const Tensor& values) {
  Backend& backend = state.tensor.backend();
  const std::int64_t n = values.num_elements();
  if (state.tensor.dtype() == DType::u16) {
    backend.ops().split_halves(backend.context(), as_row(values, 0, n), value(),
                               as_row(state.tensor, 0, n));
    return;
  }
  const Tensor flat = as_row(values, 0, n);
  backend.ops().copy(backend.context(), flat, as_row(state.tensor, 0, n));
  if (state.role == "master") backend.ops().copy(backend.context(), flat, value());
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

Tensor as_row(const Tensor& tensor, std::int64_t begin, std::int64_t count) {
  return tensor.reshape({tensor.num_elements()}).slice(0, begin, begin + count);
}

Tensor as_matrix(const Tensor& tensor, const MatrixPart& part) {
  return as_row(tensor, part.begin, part.rows * part.cols).reshape({part.rows, part.cols});
}

namespace {

// Noise of elements [begin, begin + n) of a whole tensor: eight 16-bit numbers from each counter.
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

// use(begin, values) for the elements of a bf16 weight in f32, piece by piece: whole with a master.
void for_pieces(TrainedTensor& tensor,
                const MatrixPart& part,
                const std::function<void(std::int64_t begin, const Tensor& values)>& use) {
  const Tensor value = tensor.value();
  Backend& backend = value.backend();
  const Tensor* master = tensor.find("master");
  const std::int64_t end = part.begin + part.rows * part.cols;
  const std::int64_t piece = plan::update_piece(part.rows, part.cols);
  const Tensor wide = Tensor::empty(backend, {piece}, DType::f32, MemoryKind::workspace);
  for (std::int64_t at = part.begin; at < end; at += piece) {
    const std::int64_t count = std::min(piece, end - at);
    const Tensor weight = as_row(value, at, count);
    const Tensor values = wide.slice(0, 0, count);
    if (master != nullptr) {
      backend.ops().join_halves(backend.context(), weight, as_row(*master, at, count), values);
    } else {
      backend.ops().copy(backend.context(), weight, values);
    }
    use(at, values);
  }
}

// Rounds values into the weight from element `begin` on: to the nearest, the lower half kept by the
// master, or without one by chance.
void round_into(TrainedTensor& tensor,
                std::int64_t begin,
                std::int64_t step,
                const Tensor& values) {
  Backend& backend = values.backend();
  const std::int64_t count = values.num_elements();
  const Tensor weight = as_row(tensor.value(), begin, count);
  if (const Tensor* master = tensor.find("master")) {
    return backend.ops().split_halves(backend.context(), values, weight,
                                      as_row(*master, begin, count));
  }
  const Tensor noise = Tensor::empty(backend, {count}, DType::u16, MemoryKind::workspace);
  const std::int64_t first = tensor.param->owned_begin + begin;
  tensor.param->slice.for_each_in(
      first, first + count,
      [&](std::int64_t global, std::int64_t local, std::int64_t run, bool /*first*/) {
        fill_noise(tensor.rounding, step, global,
                   noise.slice(0, local - first, local - first + run));
      });
  backend.ops().stochastic_round(backend.context(), values, noise, weight);
}

}  // namespace

void update_weight(TrainedTensor& tensor,
                   const MatrixPart& part,
                   std::int64_t step,
                   const std::function<void(const UpdatedView&)>& update) {
  const Tensor value = tensor.value();
  if (value.dtype() == DType::bf16) {
    return for_pieces(tensor, part, [&](std::int64_t begin, const Tensor& values) {
      update({.weight = values, .begin = begin, .count = values.num_elements()});
      round_into(tensor, begin, step, values);
    });
  }
  const Tensor* master = tensor.find("master");
  const std::int64_t count = part.rows * part.cols;
  const Tensor weight = as_row(value, part.begin, count);
  const Tensor updated = master != nullptr ? as_row(*master, part.begin, count) : weight;
  update({.weight = updated, .begin = part.begin, .count = count});
  if (master != nullptr) weight.backend().ops().copy(weight.backend().context(), updated, weight);
}

void update_ema(TrainedTensor& tensor, double decay) {
  const Tensor* ema = tensor.find("ema");
  if (ema == nullptr) return;
  Backend& backend = ema->backend();
  const Tensor* master = tensor.find("master");
  if (master != nullptr && master->dtype() == DType::u16) {
    return for_pieces(tensor, {0, ema->num_elements(), 1},
                      [&](std::int64_t begin, const Tensor& values) {
                        backend.ops().lerp(backend.context(), values, 1 - decay,
                                           as_row(*ema, begin, values.num_elements()));
                      });
  }
  const std::int64_t n = ema->num_elements();
  backend.ops().lerp(backend.context(), master != nullptr ? as_row(*master, 0, n) : tensor.value(),
                     1 - decay, as_row(*ema, 0, n));
}

}  // namespace tera::train
