// StageExecutor: runs the PipelineActions of one stage on its micro-batches.
#pragma once
#include <map>
#include <memory>
#include <vector>

#include "core/data/batch_loader.h"
#include "core/nn/model.h"
#include "core/plan/pipeline_schedule.h"

namespace tera::train {

struct StageResult {    // of one step, this rank only
  double loss_sum = 0;  // over targets, natural log, unscaled
  std::int64_t num_targets = 0;
  std::vector<nn::RouterStats> router;  // [all layers]; empty expert_tokens on dense layers
  nn::PredictionStats prediction;       // of multi-token prediction
  double forward_s = 0;
  double backward_s = 0;
};

class StageExecutor {
 public:
  StageExecutor(nn::Model& model, Backend& backend) : model_(&model), backend_(&backend) {}

  // What the micro-batches of a step share.
  struct Step {
    std::int64_t global_targets = 0;        // scales the loss
    std::int64_t global_micro_batches = 0;  // scales the auxiliary losses: each counts the same
    double gradient_scale =
        1;  // on every gradient, not on what is reported; a power of two is exact
    std::uint64_t seed = 0;
    std::int64_t number = 0;                 // optimizer steps before
    comm::Communicator* replicas = nullptr;  // data-parallel ranks; null: this one alone
    spec::RecomputeKind recompute = spec::RecomputeKind::none;
  };
  // Runs all actions in order; gradients are added to the store. Forwards are in the order of the
  // micro-batches.
  StageResult run(const std::vector<plan::PipelineAction>& actions,
                  const std::vector<data::HostBatch>& micro_batches,
                  const Step& step);

  // Loss sum over the targets of a batch, without gradients.
  double evaluate(const data::HostBatch& batch);

 private:
  nn::Batch upload(const data::HostBatch& host) const;

  nn::Model* model_;
  Backend* backend_;
};

}  // namespace tera::train
