#include "core/run/metric_catalog.h"

#include <array>

namespace tera::run {
namespace {

constexpr std::array kCatalog = {
    MetricInfo{"loss", "nat", "Mean cross entropy per target token of the step."},
    MetricInfo{"eval_loss", "nat", "Mean cross entropy per target token on held-out text."},
    MetricInfo{"eval_loss_ema", "nat", "The same with the running mean of the weights."},
    MetricInfo{"mtp_loss", "nat",
               "Mean cross entropy per target token of multi-token prediction, over its layers."},
    MetricInfo{"balance_loss", "1", "Load-balancing loss of the routers, coefficient included."},
    MetricInfo{"z_loss", "1", "Router z-loss, coefficient included."},
    MetricInfo{"grad_norm", "1", "Global 2-norm of the gradient before clipping."},
    MetricInfo{"learning_rate", "1", "Learning rate of the step."},
    MetricInfo{"loss_zscore", "1",
               "Standard deviations of the loss above the mean of the accepted steps before."},
    MetricInfo{"grad_norm_zscore", "1",
               "Standard deviations of the gradient norm above that mean."},
    MetricInfo{"loss_scale", "1", "Factor on the loss of fp16, before it is taken out again."},
    MetricInfo{"skipped", "1", "1 where the update of the step was left out, else 0."},
    MetricInfo{"batch_size", "sequences", "Sequences of the step while the batch grows."},
    MetricInfo{"tokens", "tokens", "Tokens trained on since the start of the run."},
    MetricInfo{"tokens_per_s", "tok/s", "Tokens of the step over its wall time."},
    MetricInfo{"model_flops_per_s", "flop/s",
               "Arithmetic of the model per second, recomputation not counted."},
    MetricInfo{"step_s", "s", "Wall time of the step."},
    MetricInfo{"data_s", "s", "Time the step waited for its batch."},
    MetricInfo{"forward_s", "s", "Time in forward passes."},
    MetricInfo{"backward_s", "s", "Time in backward passes."},
    MetricInfo{"wait_s", "s", "Time rank 0 waited for other stages of the pipeline."},
    MetricInfo{"grad_sync_s", "s", "Time in the reduction of gradients over replicas."},
    MetricInfo{"traffic", "B", "What rank 0 sent to other ranks in the step."},
    MetricInfo{"optimizer_s", "s", "Time in gradient norm, clipping and update."},
    MetricInfo{"checkpoint_s", "s", "Time training stood still for the last checkpoint."},
    MetricInfo{"eval_s", "s", "Time of the evaluation after the step."},
    MetricInfo{"cpu_utilization", "ratio", "Busy share of all processors of the host."},
    MetricInfo{"process_memory", "B", "Resident memory of the training process."},
    MetricInfo{"host_memory_used", "B", "Memory in use on the host."},
    MetricInfo{"host_power", "W", "Power of the processor packages."},
    MetricInfo{"expert_load", "tokens",
               "Tokens that chose each expert in the step, before any drop, per MoE layer.", true},
    MetricInfo{"expert_imbalance", "1",
               "Load of the busiest expert over the mean load, in the worst layer."},
    MetricInfo{"dropped_share", "ratio",
               "Share of the routers' choices that found their expert full; where experts choose, "
               "of tokens that none took."},
};

}  // namespace

std::span<const MetricInfo> metric_catalog() {
  return kCatalog;
}

const MetricInfo* find_metric(std::string_view name) {
  for (const MetricInfo& info : kCatalog) {
    if (info.name == name) return &info;
  }
  return nullptr;
}

}  // namespace tera::run
