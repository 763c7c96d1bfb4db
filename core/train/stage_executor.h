// StageExecutor: runs the PipelineActions of one stage on its micro-batches.
#pragma once
#include <memory>
#include <vector>

#include "core/base/turns.h"
#include "core/data/batch_loader.h"
#include "core/nn/context_parallel.h"
#include "core/nn/model_chunk.h"
#include "core/plan/pipeline_schedule.h"
#include "core/plan/schedule_simulator.h"

namespace tera::train {

struct StageResult {    // of one step, this rank only
  double loss_sum = 0;  // over targets, natural log, unscaled; 0 where there is no head
  std::int64_t num_targets = 0;
  // [all layers]; zeros for those of other stages, empty expert_tokens on dense layers
  std::vector<nn::RouterStats> router;
  nn::PredictionStats prediction;  // of multi-token prediction
  // What ran and when, from the beginning of the step; waiting for other stages comes before it.
  // Those of a pair begin together.
  std::vector<plan::PlayedAction> actions;
  double forward_s = 0;
  double backward_s = 0;
  double wait_s = 0;  // for other stages
};

class StageExecutor {
 public:
  // The chunks of this rank's stage. The ranks of `pipeline` are the stages of the spec's layout,
  // in order. It and the store, which holds the parameters of the stage, outlive this.
  StageExecutor(const spec::RunSpec& spec, nn::ParamStore& params, comm::Communicator& pipeline);

  // What the micro-batches of a step share.
  struct Step {
    std::int64_t global_targets = 0;        // scales the loss
    std::int64_t global_micro_batches = 0;  // scales the auxiliary losses: each counts the same
    double gradient_scale =
        1;  // on every gradient, not on what is reported; a power of two is exact
    std::uint64_t seed = 0;
    std::int64_t number = 0;                 // optimizer steps before
    comm::Communicator* replicas = nullptr;  // data-parallel ranks; null: this one alone
    nn::PartWatcher* watcher = nullptr;
    spec::RecomputeKind recompute = spec::RecomputeKind::none;
  };
  // Runs all actions of this stage in order; gradients are added to the store. Every stage has the
  // same micro-batches. The schedule must pass check_schedule.
  StageResult run(const plan::PipelineSchedule& schedule,
                  const std::vector<data::HostBatch>& micro_batches,
                  const Step& step);

  // Without gradients. Counted where the head is: the sums over all stages are those of the model.
  struct Evaluation {
    double loss_sum = 0;
    std::int64_t num_targets = 0;
  };
  Evaluation evaluate(const std::vector<data::HostBatch>& batches,
                      nn::PartWatcher* watcher = nullptr);

  // Once per optimizer step, of the layers here: ModelChunk::update_expert_bias.
  void update_expert_bias(const std::vector<std::vector<std::int64_t>>& counts);

 private:
  class Run;
  spec::ModelConfig config_;
  Backend* backend_;
  DType dtype_;      // of activations
  int token_ranks_;  // that share out the tokens between layers
  nn::ContextShare share_;
  comm::Communicator* pipeline_;
  plan::PipelineShape shape_;
  std::vector<std::unique_ptr<nn::ModelChunk>> chunks_;
  Turns turns_;  // of pairs
};

}  // namespace tera::train
