// What replicas do for each other: sum their gradients as soon as a part of the model has its last,
// while the next part computes; and, where ZeRO shares weights out, gather them one part ahead.
// Reductions add in rank order, so that every stage of ZeRO gives the same bits.
//
// With several copies of what ZeRO shards (layout.zero_replicas) the ranks of a copy sum and gather
// among themselves, and those that hold the same shard then sum that over the copies, once a step:
// the sum of a copy's replicas in rank order, and those sums in the order of copies. Other than
// that of all replicas in a row, it rounds otherwise, except where a copy is one rank.
//
// With training.reproducible_sums gradients are those of one micro-batch, and what came before is
// summed up beside them: replicas take turns in the global batch, so that a sum over them after
// every micro-batch, to which the first replica adds what came before, has the order of one replica
// that runs all of it. So are sums over several copies then: of all replicas in a row.
#pragma once
#include <map>
#include <optional>
#include <set>
#include <utility>
#include <vector>

#include "core/comm/mesh_groups.h"
#include "core/nn/param_store.h"
#include "core/nn/part_watcher.h"
#include "core/spec/run_spec.h"
#include "core/train/gradient_norm.h"

namespace tera::train {

// The store of this rank under the layout: its slices, in buckets where ZeRO shares out. `groups`
// are those of the layout, and must outlive the store.
nn::ParamStore make_param_store(Backend& backend,
                                const spec::RunSpec& spec,
                                comm::MeshGroups& groups);

class GradSync final : public nn::PartWatcher {
 public:
  // The store is make_param_store()'s. All must outlive it.
  GradSync(nn::ParamStore& params, comm::MeshGroups& groups, const spec::RunSpec& spec);

  // Gradients of a part are complete after so many backwards of it. Before that they stay with this
  // rank, so that accumulation costs no traffic.
  void begin_step(std::int64_t num_micro_batches);
  void before_forward(int part) override;
  void after_forward(int part) override;
  void before_backward(int part) override;
  void after_backward(int part) override;
  // All gradients are summed: Param::owned_gradient(). A part that did not run counts as zeros.
  void finish();
  // Of all gradients of the model: GradientNorm.
  double norm() { return norm_.compute(); }
  // After owned weights have changed: those of the others, where all are kept.
  void share_weights();

 private:
  // Memory that gradients lie in side by side: of a parameter, or of a bucket.
  struct Piece {
    nn::Param* param;         // null: of the bucket
    nn::ParamBucket* bucket;  // null: of the parameter
    Tensor& gradient() const { return param != nullptr ? param->grad : bucket->gradients; }
    bool operator<(const Piece& other) const {
      return std::pair(param, bucket) < std::pair(other.param, other.bucket);
    }
  };
  std::vector<Piece> pieces_of(int part);
  comm::Communicator& replicas_of(const Piece& piece);
  std::set<nn::ParamBucket*> read_by(int part, bool backward);
  void enter(int part, int next, bool backward);
  void leave(int next, bool backward);
  void keep_gathered(const std::set<nn::ParamBucket*>& needed);
  int neighbour(int part, int step) const;
  std::int64_t num_complete(int part);
  void add_sums_before(const std::vector<Piece>& pieces);
  void sum_micro_batch(int part);
  void sum_part(int part);
  void sum_bucket(nn::ParamBucket& bucket);
  void sum_embedding_copies();
  void keep_shard(nn::ParamBucket& bucket);
  void wait();

  nn::ParamStore& params_;
  comm::MeshGroups& groups_;
  const int zero_stage_;
  const bool reproducible_;
  const bool sums_whole_;  // replicas of all copies in one order
  const bool shares_embedding_;
  const bool copies_embedding_;  // the last stage holds the matrix, too
  const int num_layers_;         // behind them parts predict, and read the matrix
  std::vector<plan::ParamBucket> buckets_;
  std::vector<int> order_;  // parts here, as forward runs them
  GradientNorm norm_;
  std::map<nn::ParamBucket*, std::optional<comm::Work>> gathers_;  // held; pending where a value
  std::int64_t num_micro_batches_ = 0;
  std::map<int, std::int64_t> backwards_;  // of each part in this step
  std::set<int> summed_;
  // Of the micro-batches before this one, over all replicas; where sums are reproducible.
  std::map<Piece, Tensor> sums_before_;
  std::map<int, std::int64_t> micro_batches_summed_;  // of each part
  std::vector<comm::Work> works_;
  std::vector<nn::ParamBucket*> reducing_;  // have their shard once works_ are done
};

// Factor on the gradients so that their norm is at most max_norm; 1 when max_norm is 0 (off).
double clip_factor(double norm, double max_norm);

}  // namespace tera::train
