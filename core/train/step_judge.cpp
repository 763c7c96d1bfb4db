#include "core/train/step_judge.h"

#include <cmath>
#include <utility>

#include <fmt/format.h>

namespace tera::train {

Result<Judgement> StepJudge::judge(std::int64_t step, double loss, double grad_norm) {
  const auto diverged = [&] {
    return fail(ErrorCode::failed,
                fmt::format("training diverged at step {}: loss {}, gradient norm {}; nothing of "
                            "this step was kept",
                            step, loss, grad_norm),
                "lower training.learning_rate or raise training.warmup_steps, then start again");
  };
  Judgement judgement{.verdict = {}, .loss_scale = scaler_.scale()};
  const bool finite = std::isfinite(loss) && std::isfinite(grad_norm);
  scaler_.update(finite);
  if (scaler_.active() && !finite) {
    if (scaler_.exhausted()) return diverged();
    judgement.skipped = true;
    return judgement;
  }
  judgement.verdict = guard_.judge(loss, grad_norm);
  judgement.skipped = judgement.verdict.outlier;
  if ((!finite && !judgement.skipped) || guard_.skipped_in_a_row() > training_.skip_step_window) {
    return diverged();
  }
  return judgement;
}

void StepJudge::add_to(run::MetricRecord& record, const Judgement& judgement) const {
  const bool guarded = training_.skip_step_threshold > 0;
  if (scaler_.active()) record.values.emplace_back("loss_scale", judgement.loss_scale);
  if (scaler_.active() || guarded)
    record.values.emplace_back("skipped", judgement.skipped ? 1.0 : 0.0);
  if (guarded) {
    record.values.emplace_back("loss_zscore", judgement.verdict.loss_zscore);
    record.values.emplace_back("grad_norm_zscore", judgement.verdict.grad_norm_zscore);
  }
}

void StepJudge::restore(const TrainState& state) {
  guard_.restore(state.outliers);
  scaler_.restore(state.loss_scale);
}

void StepJudge::save(TrainState& state) const {
  state.outliers = guard_.state();
  state.loss_scale = scaler_.state();
}

std::string outlier_text(const run::MetricRecord& record, const Judgement& judgement) {
  return fmt::format(
      "loss {:.4g} is {:.3g} and gradient norm {:.4g} is {:.3g} standard deviations above the "
      "mean: no update",
      record.value("loss", 0), judgement.verdict.loss_zscore, record.value("grad_norm", 0),
      judgement.verdict.grad_norm_zscore);
}

}  // namespace tera::train
