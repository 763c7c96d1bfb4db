// Work of one layer, or of the head, on one rank and one micro-batch: products (layer_products.h),
// attention (attention_cost.h), streamed bytes (layer_traffic.h), messages (layer_messages.h) and
// starts (operation_starts.h), turned into seconds by a roofline of the device and the links.
#pragma once
#include "core/plan/comm_cost.h"
#include "core/plan/fitted_times.h"
#include "core/plan/layer_messages.h"
#include "core/plan/pass_cost.h"
#include "core/plan/rank_mesh.h"
#include "core/plan/rank_rates.h"
#include "core/spec/run_spec.h"

namespace tera::plan {

class LayerCost {
 public:
  // Spec and mesh must outlive it.
  LayerCost(const spec::RunSpec& spec, const RankMesh& mesh, const FittedTimes& fitted = {});

  PassCost layer(bool moe) const;
  PassCost embedding() const;
  PassCost head() const;
  // What a layer of multi-token prediction has beside the layer itself.
  PassCost prediction() const;
  double stage_send_s() const { return messages_.stage_send_s(); }
  double blocking_send_s() const { return messages_.blocking_send_s(); }

  double peak_flops_per_s() const { return rates_.peak_flops_per_s; }
  double matmul_flops_per_s() const { return rates_.matmul_flops_per_s; }
  double memory_bytes_per_s() const { return rates_.memory_bytes_per_s; }
  const CommCost& comm() const { return messages_.comm(); }
  const FittedTimes& fitted() const { return fitted_; }

 private:
  void add_recompute(double cheap_s, PassCost& cost) const;

  const spec::RunSpec& spec_;
  FittedTimes fitted_;
  RankRates rates_;
  LayerMessages messages_;
};

}  // namespace tera::plan
