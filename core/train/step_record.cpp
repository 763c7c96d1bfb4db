#include "core/train/step_record.h"

#include <algorithm>

namespace tera::train {

bool counts_losses(const comm::MeshGroups& groups) {
  return groups.coordinate(plan::Axis::tensor) == 0;
}

bool sum_over_ranks(StageResult& result,
                    bool wants_to_stop,
                    comm::MeshGroups& groups,
                    Backend& backend) {
  const double counts = counts_losses(groups) ? 1 : 0;
  std::vector<double> values = {
      counts * result.loss_sum, counts * static_cast<double>(result.num_targets),
      counts * result.prediction.loss_sum,
      counts * static_cast<double>(result.prediction.num_targets), wants_to_stop ? 1.0 : 0.0};
  for (const nn::RouterStats& stats : result.router) {
    values.push_back(stats.balance_loss);
    values.push_back(stats.z_loss);
    values.push_back(static_cast<double>(stats.dropped));
    values.push_back(static_cast<double>(stats.offered));
    for (const std::int64_t count : stats.expert_tokens)
      values.push_back(static_cast<double>(count));
  }
  Tensor packed = Tensor::empty(backend, {static_cast<std::int64_t>(values.size())}, DType::f64,
                                MemoryKind::workspace);
  std::copy(values.begin(), values.end(), packed.data<double>());
  groups.world().all_reduce(packed, comm::Reduce::sum);
  const double* at = packed.data<double>();
  result.loss_sum = *at++;
  result.num_targets = static_cast<std::int64_t>(*at++);
  result.prediction.loss_sum = *at++;
  result.prediction.num_targets = static_cast<std::int64_t>(*at++);
  const bool stop = *at++ > 0;
  for (nn::RouterStats& stats : result.router) {
    stats.balance_loss = *at++;
    stats.z_loss = *at++;
    stats.dropped = static_cast<std::int64_t>(*at++);
    stats.offered = static_cast<std::int64_t>(*at++);
    for (std::int64_t& count : stats.expert_tokens)
      count = static_cast<std::int64_t>(*at++);
  }
  return stop;
}

void add_losses(const StageResult& result,
                double loss,
                const spec::RunSpec& spec,
                run::MetricRecord& record) {
  record.values.emplace_back("loss", loss);
  if (result.prediction.num_targets > 0) {
    const auto targets = static_cast<double>(result.prediction.num_targets);
    record.values.emplace_back("mtp_loss", result.prediction.loss_sum / targets);
  }
  double balance = 0;
  double z = 0;
  double imbalance = 0;
  double dropped = 0;
  double offered = 0;
  for (std::size_t layer = 0; layer < result.router.size(); ++layer) {
    const nn::RouterStats& stats = result.router[layer];
    if (stats.expert_tokens.empty()) continue;
    balance += stats.balance_loss;
    z += stats.z_loss;
    dropped += static_cast<double>(stats.dropped);
    offered += static_cast<double>(stats.offered);
    std::vector<double> load(stats.expert_tokens.begin(), stats.expert_tokens.end());
    double total = 0;
    for (const double tokens : load)
      total += tokens;
    const double mean = total / static_cast<double>(load.size());
    if (mean > 0)
      imbalance = std::max(imbalance, *std::max_element(load.begin(), load.end()) / mean);
    record.expert_load.push_back(std::move(load));
    record.expert_layers.push_back(static_cast<int>(layer));
  }
  if (record.expert_load.empty()) return;
  record.values.insert(record.values.end(),
                       {{"balance_loss", balance}, {"z_loss", z}, {"expert_imbalance", imbalance}});
  if (spec.model.expert_capacity(1) > 0)
    record.values.emplace_back("dropped_share", dropped / offered);
}

std::vector<std::vector<std::int64_t>> expert_counts(const StageResult& result) {
  std::vector<std::vector<std::int64_t>> counts;
  for (const nn::RouterStats& stats : result.router)
    counts.push_back(stats.expert_tokens);
  return counts;
}

}  // namespace tera::train
