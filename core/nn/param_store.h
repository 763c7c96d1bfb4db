// ParamStore: the parameters a rank owns, built from rows of the ParamTable: value, gradient.
#pragma once
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "core/plan/param_table.h"
#include "core/tensor/tensor.h"

namespace tera::nn {

struct Param {
  plan::ParamSpec spec;
  Tensor value;  // MemoryKind::weights, in weight_dtype (f64 in gradient checks)
  Tensor grad;  // MemoryKind::gradients, accumulation dtype; absent when not trainable or inference
  // A gradient whose first product of a step overwrites it need not be zeroed before: zeroing it
  // and adding to it would move its bytes three times instead of once.
  bool overwritten_first = false;
  bool counts_as_zero = false;  // whatever its memory holds; until the first product

  bool is_trained() const { return grad.present(); }
  // Whether the next product adds to the gradient or overwrites it.
  bool adds() { return !std::exchange(counts_as_zero, false); }
};

struct ParamStoreOptions {
  DType compute = DType::f32;  // f32, bf16, f16, f64
  bool gradients = true;
};

class ParamStore {
 public:
  ParamStore(Backend& backend, const plan::ParamTable& table, ParamStoreOptions options);

  Param& get(const std::string& name);  // ContractError when unknown
  bool has(const std::string& name) const;
  std::vector<Param>& params() { return params_; }
  const std::vector<Param>& params() const { return params_; }
  // Gradients count as zero; modules write the rest of a step through Param::adds().
  void zero_grads();
  // Makes zeros of the gradients that nothing was added to. Before anybody else reads them.
  void settle_grads();
  bool has_gradients() const { return options_.gradients; }
  DType compute_dtype() const { return options_.compute; }
  Backend& backend() const { return *backend_; }

 private:
  void settle(bool overwritten_too);

  Backend* backend_;
  ParamStoreOptions options_;
  std::vector<Param> params_;  // never resized after construction: modules keep references
};

// Initial values as functions of (seed, tensor name, element index): normal of deviation
// plan::init_std, uniform, ones, zeros. Rounded to the storage dtype from f32, so that precisions
// and layouts start from the same model.
void init_params(ParamStore& store, const spec::ModelConfig& model, std::uint64_t seed);

}  // namespace tera::nn
