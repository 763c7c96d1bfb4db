// ParamStore: the parameters a rank holds, built from its rows of the ParamTable: value, gradient.
// What replicas share out (ZeRO) lies side by side in flat buckets, of which a rank updates one
// shard.
#pragma once
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "core/comm/mesh_groups.h"
#include "core/plan/param_buckets.h"
#include "core/plan/param_slice.h"
#include "core/spec/parallel_layout.h"
#include "core/tensor/tensor.h"

namespace tera::nn {

// Memory of a bucket. Padding is zero.
struct ParamBucket {
  plan::ParamBucket plan;
  Tensor weights;         // [num_elements]; absent while there is the shard alone
  Tensor weight_shard;    // [shard_elements]; within the weights where these stay
  Tensor gradients;       // [num_elements] of this rank; absent while nothing was added
  Tensor gradient_shard;  // [shard_elements] summed over the ranks, from then on
};

struct Param {
  plan::ParamSpec spec;    // global
  plan::ParamSlice slice;  // what this rank holds of it: the shape of value and gradient
  Tensor value;            // MemoryKind::weights, in weight_dtype (f64 in gradient checks); absent
                           // while its bucket has the shard alone
  // MemoryKind::gradients, accumulation dtype: the sum of the step so far, absent while nothing was
  // added, so that its memory serves activations until backward comes to it.
  Tensor grad;
  bool trained = false;           // not so: frozen, or a store for inference
  ParamBucket* bucket = nullptr;  // null: all of it is this rank's
  std::int64_t bucket_begin = 0;  // of the value in it
  // Elements of the part, in a row, that this rank updates.
  std::int64_t owned_begin = 0;
  std::int64_t owned_end = 0;

  // The gradient to add to.
  const Tensor& gradient();
  // The gradient for a product: the first of a step overwrites it instead of adding to zeros, which
  // would move its bytes three times instead of once.
  struct Target {
    const Tensor& grad;
    bool accumulate;
  };
  Target product_target();

  std::int64_t num_owned() const { return owned_end - owned_begin; }
  Tensor owned_value() const;     // [num_owned]
  Tensor owned_gradient() const;  // [num_owned], once it was summed over the replicas
  // Elements [begin, end) of the part that stay between passes, in a row.
  struct Kept {
    Tensor values;
    std::int64_t begin;
    std::int64_t end;
  };
  Kept kept() const;

 private:
  std::int64_t shard_offset() const;
};

// The ranks that hold other parts of the same model, and what they share out beside weights.
struct Parallelism {
  comm::MeshGroups* groups = nullptr;  // null: this rank alone
  bool sequence_parallel = false;      // each tensor rank keeps its tokens of the residual stream
  spec::ContextMethod context_method = spec::ContextMethod::ring;  // of context ranks
  spec::ExpertDispatcher expert_dispatcher = spec::ExpertDispatcher::all_to_all;
  double expert_load = 1;  // rows that buffers of experts hold, over those of an even load
};

struct ParamStoreOptions {
  DType compute = DType::f32;  // f32, bf16, f16, f64
  bool gradients = true;
  Parallelism parallel = {};
  std::vector<plan::ParamBucket> buckets = {};  // of the rows of the table
  bool keeps_weights = true;                    // of the buckets whole, not the shards alone
};

class ParamStore {
 public:
  ParamStore(Backend& backend, plan::LocalTable table, ParamStoreOptions options);
  // Everything on this rank.
  ParamStore(Backend& backend, const plan::ParamTable& table, ParamStoreOptions options)
      : ParamStore(backend, plan::whole_table(table), std::move(options)) {}
  ParamStore(ParamStore&&) = default;
  ParamStore& operator=(ParamStore&&) = default;

  Param& get(const std::string& name);  // ContractError when unknown
  bool has(const std::string& name) const;
  std::vector<Param>& params() { return params_; }
  const std::vector<Param>& params() const { return params_; }
  std::vector<ParamBucket>& buckets() { return buckets_; }
  bool keeps_weights() const { return options_.keeps_weights; }
  // Memory for all weights of a bucket that keeps its shard alone: what it holds is not set.
  void hold_weights(ParamBucket& bucket);
  void drop_weights(ParamBucket& bucket);
  void drop_gradients(ParamBucket& bucket);  // but for the shard
  // Gradients count as zero, and their memory is free until something is added.
  void zero_grads();
  // Makes zeros of the gradients that nothing was added to. Before anybody else reads them.
  void settle_grads();
  bool has_gradients() const { return options_.gradients; }
  DType compute_dtype() const { return options_.compute; }
  const Parallelism& parallel() const { return options_.parallel; }
  Backend& backend() const { return *backend_; }

 private:
  void make_buckets();
  void show_weights(ParamBucket& bucket);

  Backend* backend_;
  ParamStoreOptions options_;
  std::vector<Param> params_;         // never resized after construction: modules keep references
  std::vector<ParamBucket> buckets_;  // nor this
};

// Initial values as functions of (seed, tensor name, index in the whole tensor): normal of
// deviation plan::init_std, uniform, ones, zeros; padding is zero. Rounded to the storage dtype
// from f32, so that precisions and layouts start from the same model.
void init_params(ParamStore& store, const spec::ModelConfig& model, std::uint64_t seed);

}  // namespace tera::nn
