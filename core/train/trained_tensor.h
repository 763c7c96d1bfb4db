// One tensor and what its optimizer keeps beside it.
#pragma once
#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "core/base/rng.h"
#include "core/nn/param_store.h"
#include "core/spec/run_spec.h"
#include "core/tensor/tensor.h"

namespace tera::train {

struct TrainedTensor {
  // State as plan::optimizer_state lists it, of the elements that this rank owns; zero but master
  // and ema, which are the weight as it is.
  TrainedTensor(Backend& backend, nn::Param& param, const spec::RunSpec& spec);

  struct State {
    std::string_view role;
    Tensor tensor;  // f32; u16 where plan::optimizer_state says so
  };
  nn::Param* param;
  plan::ParamSpec held;  // what this rank has of it, as if it were a tensor of its own
  std::vector<State> states;
  Philox rounding;  // of this tensor, for a weight that is rounded by chance

  Tensor value() const { return param->owned_value(); }    // [n], what the states are of
  Tensor grad() const { return param->owned_gradient(); }  // [n]
  Tensor* find(std::string_view role);                     // null when there is none
  Tensor& state(std::string_view role);
  // A state in f32: itself, or a master made whole in a new tensor.
  Tensor whole(const State& state) const;
  // Takes the values of an f32 tensor for a state; those of a master for the weight, too.
  void assign(State& state, const Tensor& values);
};

// Elements [begin, begin + rows x cols) of what is owned: one of the matrices it is made of.
struct MatrixPart {
  std::int64_t begin, rows, cols;
};
// A vector is one row. Each expert's matrix is a part; with split_stacks so are the matrices that
// are stacked in one tensor (q, k, v; gate, up).
std::vector<MatrixPart> matrix_parts(const plan::ParamSpec& param, bool split_stacks);

// ema += (1 - decay) (weight - ema), where the tensor keeps one.
void update_ema(TrainedTensor& tensor, double decay);

// Part of a contiguous tensor as a matrix, or as [rows x cols] elements in a row.
Tensor as_matrix(const Tensor& tensor, const MatrixPart& part);
Tensor as_row(const Tensor& tensor, std::int64_t begin, std::int64_t count);

struct UpdatedView {  // what an update changes
  Tensor weight;      // [count] f32: the weight or its master
  std::int64_t begin = 0;
  std::int64_t count = 0;
};
// Calls update for the elements of the part. An f16 weight is its master rounded. A bf16 weight is
// made f32, updated and put back piece by piece, in whole rows: with a master whole and in its two
// halves; without one rounded by chance, which depends on seed, tensor, step and element alone.
void update_weight(TrainedTensor& tensor,
                   const MatrixPart& part,
                   std::int64_t step,
                   const std::function<void(const UpdatedView&)>& update);

}  // namespace tera::train
