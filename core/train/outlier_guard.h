// Tells steps whose loss or gradient norm stands out from those before, so that their update can be
// left out. Source: OLMo-core, SkipStepOptimizer: six standard deviations over 128 steps.
#pragma once
#include <cstdint>
#include <vector>

namespace tera::train {

class OutlierGuard {
 public:
  // threshold: standard deviations above the mean, 0 = nothing is an outlier. window: accepted
  // steps the mean is taken over; before half of it is filled only what is not finite stands out.
  OutlierGuard(double threshold, std::int64_t window) : threshold_(threshold), window_(window) {}

  struct Verdict {
    double loss_zscore = 0;
    double grad_norm_zscore = 0;
    bool outlier = false;
  };
  // Judges a step; one that is no outlier enters the window.
  Verdict judge(double loss, double grad_norm);

  // Outliers in a row up to now: a whole window of them is no accident any more.
  std::int64_t skipped_in_a_row() const { return skipped_in_a_row_; }

  struct State {                 // to be saved
    std::vector<double> losses;  // of the last accepted steps, oldest first
    std::vector<double> grad_norms;
    std::int64_t skipped_in_a_row = 0;
  };
  State state() const { return {losses_, grad_norms_, skipped_in_a_row_}; }
  void restore(State state);

 private:
  double zscore(const std::vector<double>& window, double value) const;

  double threshold_;
  std::int64_t window_;
  std::vector<double> losses_;
  std::vector<double> grad_norms_;
  std::int64_t skipped_in_a_row_ = 0;
};

}  // namespace tera::train
