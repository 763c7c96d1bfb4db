// Whether the update of a step is made: an overflow of fp16 costs its step and some of the loss
// scale, an outlier its step, and anything else that is not finite ends the run.
#pragma once
#include <cstdint>
#include <string>

#include "core/base/result.h"
#include "core/run/metric_stream.h"
#include "core/spec/run_spec.h"
#include "core/train/loss_scaler.h"
#include "core/train/outlier_guard.h"
#include "core/train/train_state.h"

namespace tera::train {

struct Judgement {  // of a step's loss and gradient norm
  OutlierGuard::Verdict verdict;
  double loss_scale = 1;  // what its gradients were multiplied with
  bool skipped = false;
};

class StepJudge {
 public:
  // The config must outlive it.
  explicit StepJudge(const spec::TrainingConfig& training)
      : training_(training),
        guard_(training.skip_step_threshold, training.skip_step_window),
        scaler_(training) {}

  // What the gradients of the step to come are multiplied with.
  double loss_scale() const { return scaler_.scale(); }
  // Of step `step`, from 1. Error (failed): the training diverged.
  Result<Judgement> judge(std::int64_t step, double loss, double grad_norm);
  // Into the record of the step: the loss scale, whether it was skipped, how far it stands out.
  void add_to(run::MetricRecord& record, const Judgement& judgement) const;

  void restore(const TrainState& state);
  void save(TrainState& state) const;

 private:
  const spec::TrainingConfig& training_;
  OutlierGuard guard_;
  LossScaler scaler_;
};

// Why a step that stands out was skipped, for people; the record has its loss and gradient norm.
std::string outlier_text(const run::MetricRecord& record, const Judgement& judgement);

}  // namespace tera::train
