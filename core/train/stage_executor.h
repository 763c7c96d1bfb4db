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
  std::vector<nn::RouterStats> router;  // [num_layers]; empty expert_tokens on dense layers
  double forward_s = 0;
  double backward_s = 0;
};

class StageExecutor {
 public:
  StageExecutor(nn::Model& model, Backend& backend) : model_(&model), backend_(&backend) {}

  // Runs all actions in order; gradients are added to the store. global_targets scales the loss,
  // global_micro_batches the auxiliary losses (each micro-batch counts the same).
  StageResult run(const std::vector<plan::PipelineAction>& actions,
                  const std::vector<data::HostBatch>& micro_batches,
                  std::int64_t global_targets,
                  std::int64_t global_micro_batches);

  // Loss sum over the targets of a batch, without gradients.
  double evaluate(const data::HostBatch& batch);

 private:
  nn::Batch upload(const data::HostBatch& host) const;

  nn::Model* model_;
  Backend* backend_;
};

}  // namespace tera::train
