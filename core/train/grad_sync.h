// What replicas do for each other: sum their gradients as soon as a part of the model has its last,
// while the next part computes; and, where ZeRO shares weights out, gather them one part ahead.
// Reductions add in rank order, so that every stage of ZeRO gives the same bits.
#pragma once
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "core/comm/mesh_groups.h"
#include "core/nn/param_store.h"
#include "core/nn/part_watcher.h"
#include "core/spec/run_spec.h"

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
  // Of all gradients of the model, f64, each element counted once; the same on every rank. Squares
  // are added up tensor by tensor in the order of the model's table, so that stages change no bit.
  double norm();
  // After owned weights have changed: those of the others, where all are kept.
  void share_weights();

 private:
  struct Counted {  // elements [begin, end) of a part that count for the norm on this rank
    const nn::Param* param;
    std::int64_t row;  // of the model's table
    std::int64_t begin, end;
  };
  void list_counted(const spec::RunSpec& spec);
  std::set<nn::ParamBucket*> read_by(int part, bool backward);
  void enter(int part, int next, bool backward);
  void leave(int next, bool backward);
  void keep_gathered(const std::set<nn::ParamBucket*>& needed);
  int neighbour(int part, int step) const;
  bool is_complete(int part);
  void sum_part(int part);
  void sum_bucket(nn::ParamBucket& bucket);
  void sum_embedding_copies();
  void wait();

  nn::ParamStore& params_;
  comm::MeshGroups& groups_;
  const int zero_stage_;
  const bool shares_embedding_;
  const bool copies_embedding_;  // the last stage holds the matrix, too
  const int num_layers_;         // behind them parts predict, and read the matrix
  std::vector<plan::ParamBucket> buckets_;
  std::vector<int> order_;  // parts here, as forward runs them
  std::vector<Counted> counted_;
  std::int64_t num_rows_ = 0;                                      // of the model's table
  std::map<nn::ParamBucket*, std::optional<comm::Work>> gathers_;  // held; pending where a value
  std::int64_t num_micro_batches_ = 0;
  std::map<int, std::int64_t> backwards_;  // of each part in this step
  std::set<int> summed_;
  std::vector<comm::Work> works_;
  std::vector<nn::ParamBucket*> reducing_;  // whole gradients to drop once works_ are done
};

// Factor on the gradients so that their norm is at most max_norm; 1 when max_norm is 0 (off).
double clip_factor(double norm, double max_norm);

}  // namespace tera::train
