// ParamStore: the parameters a rank holds, built from its rows of the ParamTable: value, gradient.
#pragma once
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "core/comm/mesh_groups.h"
#include "core/plan/param_slice.h"
#include "core/tensor/tensor.h"

namespace tera::nn {

struct Param {
  plan::ParamSpec spec;    // global
  plan::ParamSlice slice;  // what this rank holds of it: the shape of value and gradient
  Tensor value;            // MemoryKind::weights, in weight_dtype (f64 in gradient checks)
  // MemoryKind::gradients, accumulation dtype: the sum of the step so far, absent while nothing was
  // added, so that its memory serves activations until backward comes to it.
  Tensor grad;
  bool trained = false;  // not so: frozen, or a store for inference

  // The gradient to add to.
  const Tensor& gradient();
  // The gradient for a product: the first of a step overwrites it instead of adding to zeros, which
  // would move its bytes three times instead of once.
  struct Target {
    const Tensor& grad;
    bool accumulate;
  };
  Target product_target();
};

// The ranks that hold other parts of the same model, and what they share out beside weights.
struct Parallelism {
  comm::MeshGroups* groups = nullptr;  // null: this rank alone
  bool sequence_parallel = false;      // each tensor rank keeps its tokens of the residual stream
  double expert_load = 1;  // rows that buffers of experts hold, over those of an even load
};

struct ParamStoreOptions {
  DType compute = DType::f32;  // f32, bf16, f16, f64
  bool gradients = true;
  Parallelism parallel = {};
};

class ParamStore {
 public:
  ParamStore(Backend& backend, plan::LocalTable table, ParamStoreOptions options);
  // Everything on this rank.
  ParamStore(Backend& backend, const plan::ParamTable& table, ParamStoreOptions options)
      : ParamStore(backend, plan::whole_table(table), options) {}

  Param& get(const std::string& name);  // ContractError when unknown
  bool has(const std::string& name) const;
  std::vector<Param>& params() { return params_; }
  const std::vector<Param>& params() const { return params_; }
  // Gradients count as zero, and their memory is free until something is added.
  void zero_grads();
  // Makes zeros of the gradients that nothing was added to. Before anybody else reads them.
  void settle_grads();
  bool has_gradients() const { return options_.gradients; }
  DType compute_dtype() const { return options_.compute; }
  const Parallelism& parallel() const { return options_.parallel; }
  Backend& backend() const { return *backend_; }

 private:
  Backend* backend_;
  ParamStoreOptions options_;
  std::vector<Param> params_;  // never resized after construction: modules keep references
};

// Initial values as functions of (seed, tensor name, index in the whole tensor): normal of
// deviation plan::init_std, uniform, ones, zeros; padding is zero. Rounded to the storage dtype
// from f32, so that precisions and layouts start from the same model.
void init_params(ParamStore& store, const spec::ModelConfig& model, std::uint64_t seed);

}  // namespace tera::nn
