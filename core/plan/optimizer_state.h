// What an optimizer keeps and does for each tensor: the one list behind the planner's bytes and
// seconds, the engine's memory and the entries of a checkpoint.
#pragma once
#include <cstdint>
#include <string_view>
#include <vector>

#include "core/plan/param_table.h"
#include "core/spec/run_spec.h"

namespace tera::plan {

// The settings of the tensor's group.
const spec::ParamGroup& param_group(const ParamSpec& param, const spec::TrainingConfig& training);
// Of the group, times that of maximal update parametrization.
double learning_rate_multiplier(const ParamSpec& param, const spec::RunSpec& spec);
double weight_decay(const ParamSpec& param, const spec::TrainingConfig& training);

// The rule a tensor is updated by: muon holds for the matrices of layers and experts, and leaves
// embeddings, head, router and vectors to adamw.
spec::OptimizerKind update_rule(const ParamSpec& param, const spec::TrainingConfig& training);

// Whether the optimizer updates an f32 of the weight, of which the weight is the rounding.
bool has_master(const ParamSpec& param, const spec::TrainingConfig& training);

struct StateTensor {
  std::string_view role;
  std::vector<std::int64_t> shape;
  DType dtype = DType::f32;
};
// In the order in which they are saved; none for a tensor that is not trained. Roles are those of
// torch.optim: exp_avg, exp_avg_sq (adamw); exp_avg (lion); momentum_buffer (sgd, muon); row_var,
// col_var, or variance of a vector (adafactor); master; ema, the running mean of the weights. The
// master of a bf16 weight is u16: the lower half of the f32 whose upper half is the weight.
std::vector<StateTensor> optimizer_state(const ParamSpec& param,
                                         const spec::TrainingConfig& training);
std::int64_t optimizer_state_bytes(const ParamSpec& param, const spec::TrainingConfig& training);

// Work of one update of the whole tensor, without the gradient norm.
struct UpdateWork {
  double bytes = 0;  // read and written
  double flops = 0;  // products of muon
};
UpdateWork update_work(const ParamSpec& param, const spec::TrainingConfig& training);

// Elements at a time of a [rows, cols] bf16 weight that is updated in f32, whole rows: 1 MiB of
// f32, which stays in cache between the passes.
std::int64_t update_piece(std::int64_t rows, std::int64_t cols);

// Bytes that one update of the tensor takes for its time, at most: what Muon makes a matrix
// orthogonal in, and the piece of a bf16 weight in f32. Equals what the engine
// allocates (tested).
std::int64_t update_workspace_bytes(const ParamSpec& param, const spec::TrainingConfig& training);

}  // namespace tera::plan
