// Every metric by name: unit and meaning. Writers may use no other name; charts, `top` and
// Prometheus text read this table.
#pragma once
#include <cstdint>
#include <span>
#include <string_view>

namespace tera::run {

struct MetricInfo {
  std::string_view name;
  std::string_view unit;     // "nat", "tok/s", "s", "B", "W", "1"; see units.h
  std::string_view meaning;  // one sentence
  bool is_vector = false;    // one array per layer (expert_load)
};

// loss, eval_loss, mtp_loss, balance_loss, z_loss, grad_norm, learning_rate, tokens, tokens_per_s,
// model_flops_per_s, step_s, data_s, forward_s, backward_s, wait_s, grad_sync_s, traffic,
// optimizer_s, checkpoint_s, eval_s, cpu_utilization, process_memory, host_memory_used, host_power,
// expert_load (vector: tokens per expert in this step), expert_imbalance (max / mean over the worst
// layer), dropped_share. data_chain is text and lives in its own record member.
std::span<const MetricInfo> metric_catalog();
const MetricInfo* find_metric(std::string_view name);

}  // namespace tera::run
