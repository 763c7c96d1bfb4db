// Losses are added up in whole units, of which f64 holds every sum exactly: no order of
// micro-batches, stages or replicas changes a bit.
#pragma once
#include <utility>
#include <vector>

#include "core/train/stage_executor.h"

namespace tera::train {

// A sum over tokens in whole units.
double exact_loss(double sum);

// Takes out of a result the losses that modules add to, so that those of one pass are there alone.
class LossesBefore {
 public:
  explicit LossesBefore(StageResult& result);
  // Adds them back. Those of routers have the scale of gradients inside.
  void add_to(StageResult& result, double scale) const;

 private:
  double prediction_;
  std::vector<std::pair<double, double>> router_;  // [all layers] of balance and z
};

}  // namespace tera::train
