#include "core/plan/optimizer_state.h"

#include <algorithm>
#include <functional>
#include <numeric>

#include "core/plan/parametrization.h"

namespace tera::plan {
namespace {

using spec::OptimizerKind;
using Shape = std::vector<std::int64_t>;

std::int64_t elements_of(const Shape& shape) {
  return std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
}

// Second moments by rows and columns of the last two dims, as adafactor keeps them.
std::vector<StateTensor> factored(const Shape& shape) {
  if (shape.size() < 2) return {{"variance", shape}};
  Shape rows(shape.begin(), shape.end() - 1);
  Shape cols(shape.begin(), shape.end() - 2);
  cols.push_back(shape.back());
  return {{"row_var", std::move(rows)}, {"col_var", std::move(cols)}};
}

// Newton-Schulz of one [rows, cols] matrix of smaller extent m and larger n: per iteration the
// products X X^T, its square, and the polynomial times X: 2 m^2 n + 2 m^3 + 2 m^2 n.
double newton_schulz_flops(std::int64_t rows, std::int64_t cols, int iterations) {
  const auto m = static_cast<double>(std::min(rows, cols));
  const auto n = static_cast<double>(std::max(rows, cols));
  return iterations * (4 * m * m * n + 2 * m * m * m);
}

// Its buffers, f32: the matrix and its successor, and two squares of the smaller extent.
std::int64_t newton_schulz_bytes(std::int64_t rows, std::int64_t cols) {
  const std::int64_t m = std::min(rows, cols);
  return 4 * (2 * rows * cols + 2 * m * m);
}

}  // namespace

const spec::ParamGroup& param_group(const ParamSpec& param, const spec::TrainingConfig& training) {
  const spec::ParamGroups& groups = training.param_groups;
  switch (param.kind) {
    case ParamKind::embedding:
      return groups.embedding;
    case ParamKind::norm:
    case ParamKind::bias:
      return groups.norm;
    case ParamKind::router:
    case ParamKind::router_bias:
      return groups.router;
    case ParamKind::expert:
      return groups.expert;
    case ParamKind::matrix:
      break;
  }
  return param.layer < 0 ? groups.head : groups.matrix;
}

double learning_rate_multiplier(const ParamSpec& param, const spec::RunSpec& spec) {
  return param_group(param, spec.training).lr_multiplier * mup_learning_rate(param, spec.model);
}

double weight_decay(const ParamSpec& param, const spec::TrainingConfig& training) {
  return training.weight_decay * param_group(param, training).weight_decay_multiplier;
}

OptimizerKind update_rule(const ParamSpec& param, const spec::TrainingConfig& training) {
  if (training.optimizer != OptimizerKind::muon) return training.optimizer;
  const bool hidden = (param.kind == ParamKind::matrix && param.layer >= 0) || param.is_expert();
  const bool matrix = hidden && param.shape.back() > 1 &&
                      *std::min_element(param.row_parts.begin(), param.row_parts.end()) > 1;
  return matrix ? OptimizerKind::muon : OptimizerKind::adamw;
}

bool has_master(const ParamSpec& param, const spec::TrainingConfig& training) {
  return param.trainable && weight_dtype(param, training.precision) != DType::f32 &&
         training.precision != spec::Precision::bf16_stochastic;
}

namespace {

// Moments in the type the run asks for. int8 has an f32 scale for each 256 elements; what is small
// or looked up by row stays f32, for its outliers (Dettmers et al. 2022, section 3).
void set_moment_precision(std::vector<StateTensor>& state,
                          const ParamSpec& param,
                          const spec::TrainingConfig& training) {
  constexpr std::int64_t kBlock = 256;
  constexpr std::int64_t kSmall = 4096;
  if (training.moment_precision == spec::MomentPrecision::fp32) return;
  const bool int8 = training.moment_precision == spec::MomentPrecision::int8;
  const bool stays = param.num_elements() < kSmall || param.kind == ParamKind::embedding ||
                     param.kind == ParamKind::router;
  if (int8 && stays) return;
  std::vector<StateTensor> scales;
  for (StateTensor& tensor : state) {
    if (tensor.role == "master" || tensor.role == "ema") continue;
    tensor.dtype = int8 ? DType::u8 : DType::bf16;
    const std::int64_t blocks = (elements_of(tensor.shape) + kBlock - 1) / kBlock;
    if (int8)
      scales.push_back(
          {tensor.role == "exp_avg_sq" ? "exp_avg_sq_scale" : "exp_avg_scale", {blocks}});
  }
  state.insert(state.end(), scales.begin(), scales.end());
}

}  // namespace

std::vector<StateTensor> optimizer_state(const ParamSpec& param,
                                         const spec::TrainingConfig& training) {
  std::vector<StateTensor> state;
  if (!param.trainable) return state;
  if (has_master(param, training)) {
    const bool halves = weight_dtype(param, training.precision) == DType::bf16;
    state.push_back({"master", param.shape, halves ? DType::u16 : DType::f32});
  }
  switch (update_rule(param, training)) {
    case OptimizerKind::adamw:
      state.push_back({"exp_avg", param.shape});
      state.push_back({"exp_avg_sq", param.shape});
      break;
    case OptimizerKind::lion:
      state.push_back({"exp_avg", param.shape});
      break;
    case OptimizerKind::muon:
      state.push_back({"momentum_buffer", param.shape});
      break;
    case OptimizerKind::sgd:
      if (training.sgd_momentum > 0) state.push_back({"momentum_buffer", param.shape});
      break;
    case OptimizerKind::adafactor:
      for (StateTensor& tensor : factored(param.shape))
        state.push_back(std::move(tensor));
      break;
  }
  if (training.ema_decay > 0) state.push_back({"ema", param.shape});
  set_moment_precision(state, param, training);
  return state;
}

std::int64_t optimizer_state_bytes(const ParamSpec& param, const spec::TrainingConfig& training) {
  std::int64_t bytes = 0;
  for (const StateTensor& tensor : optimizer_state(param, training))
    bytes += elements_of(tensor.shape) * dtype_bytes(tensor.dtype);
  return bytes;
}

UpdateWork update_work(const ParamSpec& param, const spec::TrainingConfig& training) {
  UpdateWork work;
  if (!param.trainable) return work;
  const auto elements = static_cast<double>(param.num_elements());
  const auto weight_bytes =
      static_cast<double>(dtype_bytes(weight_dtype(param, training.precision)));
  constexpr double kGradient = 4;
  // Every state is read and written, and so is the weight, unless it is rounded from a whole
  // master.
  const bool whole_master =
      has_master(param, training) && weight_dtype(param, training.precision) != DType::bf16;
  const auto states = static_cast<double>(optimizer_state_bytes(param, training));
  work.bytes = 2 * states + elements * (kGradient + (whole_master ? 1 : 2) * weight_bytes);
  if (training.ema_decay > 0)
    work.bytes += elements * (has_master(param, training) ? 4 : weight_bytes);
  const OptimizerKind rule = update_rule(param, training);
  // Adafactor reads the gradient for the moments, for the size of the update and for the update,
  // and the weight once more for its size.
  if (rule == OptimizerKind::adafactor) work.bytes += elements * (2 * kGradient + 4);
  if (rule == OptimizerKind::muon) {
    const std::int64_t cols = param.shape.back();
    std::int64_t stack = 0;
    for (const std::int64_t rows : param.row_parts) {
      work.flops += newton_schulz_flops(rows, cols, training.muon_ns_steps);
      stack += rows;
    }
    work.flops *= elements / static_cast<double>(stack * cols);  // experts
  }
  return work;
}

std::int64_t update_piece(std::int64_t rows, std::int64_t cols) {
  constexpr std::int64_t kPiece = 1 << 18;
  return std::min(rows, std::max<std::int64_t>(1, kPiece / cols)) * cols;
}

std::int64_t update_workspace_bytes(const ParamSpec& param, const spec::TrainingConfig& training) {
  if (!param.trainable) return 0;
  const bool bf16 = weight_dtype(param, training.precision) == DType::bf16;
  const bool master = has_master(param, training);
  // A piece in f32, and without a master 16 random bits for each element.
  const auto rounding = [&](std::int64_t rows, std::int64_t cols) {
    return bf16 ? (master ? 4 : 6) * update_piece(rows, cols) : 0;
  };
  const std::int64_t whole = rounding(param.num_elements(), 1);
  const std::int64_t mean = master && training.ema_decay > 0 ? whole : 0;
  const std::int64_t cols = param.shape.back();
  switch (update_rule(param, training)) {
    case OptimizerKind::muon: {
      std::int64_t most = mean;
      for (const std::int64_t rows : param.row_parts) {
        const std::int64_t matrix = 4 * rows * cols;
        most = std::max({most, newton_schulz_bytes(rows, cols), matrix + rounding(rows, cols)});
      }
      return most;
    }
    case OptimizerKind::adafactor: {  // each expert's matrix, stacks together
      const bool vector = param.shape.size() == 1;
      return std::max(mean, rounding(vector ? 1 : param.shape[param.shape.size() - 2], cols));
    }
    case OptimizerKind::adamw:
      return master ? mean : whole;  // halves are updated as they are
    case OptimizerKind::lion:
    case OptimizerKind::sgd:
      break;
  }
  return whole;
}

}  // namespace tera::plan
