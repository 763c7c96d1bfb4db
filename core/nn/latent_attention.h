// LatentAttention: multi-head latent attention. Keys and values of all heads are made of one latent
// vector per token, and queries of another or straight of the input; a part of each query and one
// key that all heads share are rotated. Source: DeepSeek-V2, 2024, section 2.1.
// Letters: A heads; dn, dr dims of queries and keys without and with position, dv of values; rq,
// rkv ranks of the latent vectors.
#pragma once
#include <optional>
#include <string>

#include "core/nn/attention_module.h"
#include "core/nn/linear.h"
#include "core/nn/norm.h"
#include "core/nn/rotary.h"
#include "core/nn/sequence_attention.h"
#include "core/spec/model_config.h"

namespace tera::nn {

// y [T, N] = up(norm(z)) of a latent vector z [T, r]. Keeps <prefix>_latent [T, r], _latent_rstd
// and, unless it is computed again, _latent_norm_out.
class LatentProjection {
 public:
  // prefix: "layers.3.attention.kv"; parameters <prefix>_down_norm and <prefix>_up.
  LatentProjection(ParamStore& store, const std::string& prefix);

  Tensor put(std::int64_t num_tokens, DType dtype, Pass& pass) const;  // z, for the caller to fill
  void normalise(Pass& pass) const;                                    // norm(z)
  void forward(Pass& pass, const Tensor& y) const;                     // after normalise
  void end_forward(Pass& pass) const;                                  // norm(z) was read
  Tensor backward_input(const Tensor& dy, Pass& pass) const;           // dz
  void backward_weight(Pass& pass);                                    // releases what was kept

  std::int64_t rank() const { return up_.in_features(); }
  const Linear& up() const { return up_; }

 private:
  Norm::Statistics statistics(const Stash& stash) const;

  std::string name_;
  Norm norm_;
  Linear up_;
};

// Keeps <prefix>.q, .k, .v, .out, .lse and what its projections keep; reads `input`, the stash
// entry that holds its input, in backward_weight.
class LatentAttention final : public AttentionModule {
 public:
  // prefix: "layers.3.attention"; parameters <prefix>.q, or .q_down, .q_down_norm, .q_up, then
  // .kv_down, .kv_down_norm, .kv_up, .out.
  LatentAttention(ParamStore& store,
                  const spec::ModelConfig& config,
                  std::string prefix,
                  std::string input);

  Tensor forward(const Tensor& x, Pass& pass) override;  // [T, H] -> [T, H]
  Tensor backward_input(const Tensor& dy, Pass& pass) override;
  void backward_weight(Pass& pass) override;
  LayerCache make_cache(int sequences, int capacity) const override;
  Tensor forward_cached(const Tensor& x, Pass& pass, const LayerCache& cache) override;

 private:
  void project_queries(const Tensor& x, Pass& pass) const;
  Tensor project_latent(const Tensor& x, Pass& pass) const;
  Tensor attend(const Tensor& rope_key, Pass& pass) const;
  Tensor attend_to_latents(Pass& pass, const LayerCache& cache) const;
  Tensor backward_keys(const Tensor& dk, const Tensor& d_kv, Pass& pass) const;
  std::string query_gradient() const;
  Tensor rope_part(const Tensor& heads) const;

  std::string prefix_;
  std::string input_;
  std::int64_t heads_;
  std::int64_t nope_dim_;
  std::int64_t rope_dim_;
  std::int64_t value_dim_;
  Rotary rotary_;
  SequenceAttention attention_;
  Linear query_;  // .q or .q_down
  std::optional<LatentProjection> query_latent_;
  Linear kv_down_;
  LatentProjection kv_latent_;
  Linear out_;
};

}  // namespace tera::nn
