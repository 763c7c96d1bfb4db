// Seconds of the messages of a micro-batch on one rank: between tensor, context and expert ranks of
// a layer, and to the neighbouring stage of the pipeline.
#pragma once
#include "core/plan/comm_cost.h"
#include "core/plan/fitted_times.h"
#include "core/plan/pass_cost.h"
#include "core/plan/rank_mesh.h"
#include "core/plan/rank_rates.h"
#include "core/spec/run_spec.h"

namespace tera::plan {

class LayerMessages {
 public:
  // Spec and mesh must outlive it.
  LayerMessages(const spec::RunSpec& spec,
                const RankMesh& mesh,
                const RankRates& rates,
                const FittedTimes& fitted);

  // Adds those of a layer to `cost`, whose operations are worked out: some travel beside them.
  void add(bool moe, PassCost& cost) const;
  // Of the output head, forward.
  double head_s() const;
  // One activation to the neighbouring stage, in either direction: tensor ranks send a part each.
  double stage_send_s() const;
  // Of that, what the sender waits for: TeraGPT and zero-bubble schedules send beside
  // passes.
  double blocking_send_s() const;

  const CommCost& comm() const { return comm_; }

 private:
  GroupShape shape(Axis axis) const;
  void add_tensor(bool moe, PassCost& cost) const;
  void add_experts(PassCost& cost) const;
  void add_context(PassCost& cost) const;
  void overlap_exchange(PassCost& cost) const;

  const spec::RunSpec& spec_;
  const RankMesh& mesh_;
  RankRates rates_;
  FittedTimes fitted_;
  CommCost comm_;
};

}  // namespace tera::plan
