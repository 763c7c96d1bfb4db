// Rules of the training section and of the batch.
#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "core/spec/findings.h"
#include "core/spec/scalars.h"

namespace tera::spec {
namespace {

// Decays of running means: 1 would keep the first value for ever.
void check_decays(const TrainingConfig& t, Findings& findings) {
  struct Decay {
    const char* field;
    double value;
    const char* hint;
  };
  const std::array<Decay, 7> decays = {{{"training.adam_beta1", t.adam_beta1, "use 0.9"},
                                        {"training.adam_beta2", t.adam_beta2, "use 0.95"},
                                        {"training.lion_beta1", t.lion_beta1, "use 0.9"},
                                        {"training.lion_beta2", t.lion_beta2, "use 0.99"},
                                        {"training.sgd_momentum", t.sgd_momentum, "use 0.9"},
                                        {"training.muon_momentum", t.muon_momentum, "use 0.95"},
                                        {"training.ema_decay", t.ema_decay, "use 0.999"}}};
  for (const Decay& decay : decays) {
    if (decay.value >= 1)
      findings.error(decay.field, "1 never forgets the first gradient", decay.hint);
  }
  if (t.sgd_nesterov && t.sgd_momentum == 0) {
    findings.error("training.sgd_nesterov", "there is no momentum: training.sgd_momentum is 0",
                   "use false, or sgd_momentum 0.9");
  }
}

void check_schedule(const RunSpec& spec, Findings& findings) {
  const TrainingConfig& t = spec.training;
  if (t.warmup_steps >= t.num_steps) {
    findings.error(
        "training.warmup_steps",
        fmt::format("{} is not less than training.num_steps = {}", t.warmup_steps, t.num_steps),
        fmt::format("use at most {}", std::max<std::int64_t>(0, t.num_steps / 10)));
  }
  if (t.lr_schedule == LrScheduleKind::wsd && t.warmup_steps + t.decay_steps > t.num_steps &&
      t.warmup_steps < t.num_steps) {
    findings.error("training.decay_steps",
                   fmt::format("warmup {} + decay {} is more than training.num_steps = {}",
                               t.warmup_steps, t.decay_steps, t.num_steps),
                   fmt::format("use at most {}", t.num_steps - t.warmup_steps));
  }
  if (t.min_learning_rate > t.learning_rate) {
    findings.error("training.min_learning_rate",
                   fmt::format("{} is more than training.learning_rate = {}",
                               scalar_text(t.min_learning_rate), scalar_text(t.learning_rate)),
                   fmt::format("use {}", scalar_text(t.learning_rate / 10)));
  }
  if (t.learning_rate == 0) {
    findings.warning("training.learning_rate", "0: the model does not learn", "use 3e-4");
  }
  check_decays(t, findings);
  if (t.seq_length > spec.model.max_position_embeddings) {
    const std::string message = fmt::format("{} is more than model.max_position_embeddings = {}",
                                            t.seq_length, spec.model.max_position_embeddings);
    const std::string hint = fmt::format("use at most {}", spec.model.max_position_embeddings);
    if (spec.model.position == PositionKind::learned) {
      findings.error("training.seq_length", message, hint);
    } else {
      findings.warning("training.seq_length", message, hint);
    }
  }
}

void check_batch(const RunSpec& spec, Findings& findings) {
  const std::int64_t per_pass =
      std::int64_t{spec.layout.micro_batch_size} * spec.layout.data_parallel_size;
  const std::int64_t batch = spec.training.global_batch_size;
  if (batch % per_pass != 0) {
    const std::int64_t below = batch / per_pass * per_pass;
    findings.error(
        "training.global_batch_size",
        fmt::format("{} is not a multiple of micro_batch_size x data_parallel_size = {} x {} = {}",
                    batch, spec.layout.micro_batch_size, spec.layout.data_parallel_size, per_pass),
        below > 0 ? fmt::format("use {} or {}", below, below + per_pass)
                  : fmt::format("use {}", per_pass));
    return;
  }
  const std::int64_t stages = spec.layout.pipeline_parallel_size;
  if (stages > 1 && batch / per_pass < stages) {
    findings.warning(
        "training.global_batch_size",
        fmt::format("{} micro-batches for {} pipeline stages: more than half of the step is idle",
                    batch / per_pass, stages),
        fmt::format("use at least {}", per_pass * stages * 4));
  }
}

// Maximal update parametrization has its own rates for Adam and for optimizers of its kind.
void check_parametrization(const RunSpec& spec, Findings& findings) {
  if (spec.model.mup_base_hidden_size == 0) return;
  const OptimizerKind optimizer = spec.training.optimizer;
  if (optimizer != OptimizerKind::adamw && optimizer != OptimizerKind::lion) {
    findings.error("model.mup_base_hidden_size",
                   fmt::format("its learning rates are those of adamw and lion, training.optimizer "
                               "is {}",
                               enum_name(optimizer)),
                   "use adamw, or 0 to switch it off");
  }
  if (spec.model.init_method == InitMethod::small_init) {
    findings.error("model.init_method",
                   "small_init and mup_base_hidden_size both scale by the width",
                   "use normal or scaled_normal");
  }
}

// Every batch of the ramp has as many micro-batches as the schedule asks for.
void check_ramp_of_schedule(const RunSpec& spec, Findings& findings) {
  const TrainingConfig& t = spec.training;
  const ParallelLayout& layout = spec.layout;
  const std::int64_t stages = layout.pipeline_parallel_size;
  const std::int64_t per_pass = std::int64_t{layout.micro_batch_size} * layout.data_parallel_size;
  if (!layout.schedule_file.empty()) {
    findings.error("layout.schedule_file", "has one order, but the batch grows in steps of its own",
                   "set training.rampup_batch_size 0");
  }
  if (layout.schedule == ScheduleKind::interleaved) {
    for (const auto& [field, size] : {std::pair("training.rampup_batch_size", t.rampup_batch_size),
                                      std::pair("training.rampup_increment", t.rampup_increment)}) {
      if (size % (per_pass * stages) == 0) continue;
      findings.error(field,
                     fmt::format("{} is not a multiple of micro_batch_size x data_parallel_size x "
                                 "pipeline_parallel_size = {}, which interleaved needs",
                                 size, per_pass * stages),
                     fmt::format("use a multiple of {}", per_pass * stages));
    }
  }
  if (layout.schedule == ScheduleKind::dualpipe_v && t.rampup_batch_size < 2 * stages * per_pass) {
    findings.error("training.rampup_batch_size",
                   fmt::format("{} are {} micro-batches, dualpipe-v needs 2 x "
                               "pipeline_parallel_size = {}",
                               t.rampup_batch_size, t.rampup_batch_size / per_pass, 2 * stages),
                   fmt::format("use {}", 2 * stages * per_pass));
  }
}

// The batch grows from its first size in whole increments, each of which every replica can share.
void check_batch_ramp(const RunSpec& spec, Findings& findings) {
  const TrainingConfig& t = spec.training;
  const std::int64_t per_pass =
      std::int64_t{spec.layout.micro_batch_size} * spec.layout.data_parallel_size;
  if (t.rampup_batch_size == 0) {
    if (t.rampup_increment > 0 || t.rampup_tokens > 0) {
      findings.error(t.rampup_tokens > 0 ? "training.rampup_tokens" : "training.rampup_increment",
                     "there is no ramp: training.rampup_batch_size is 0",
                     fmt::format("set rampup_batch_size, for example {}", per_pass));
    }
    return;
  }
  const int growth = t.global_batch_size - t.rampup_batch_size;
  if (growth <= 0) {
    findings.error("training.rampup_batch_size",
                   fmt::format("{} is not less than training.global_batch_size = {}",
                               t.rampup_batch_size, t.global_batch_size),
                   "use a smaller one, or 0 for no ramp");
    return;
  }
  if (t.rampup_increment == 0 || growth % t.rampup_increment != 0) {
    findings.error("training.rampup_increment",
                   fmt::format("{} does not divide global_batch_size - rampup_batch_size = {}",
                               t.rampup_increment, growth),
                   t.rampup_increment == 0 ? fmt::format("use {}", growth)
                                           : nearest_divisors(growth, t.rampup_increment));
    return;
  }
  for (const auto& [field, size] : {std::pair("training.rampup_batch_size", t.rampup_batch_size),
                                    std::pair("training.rampup_increment", t.rampup_increment)}) {
    if (size % per_pass == 0) continue;
    findings.error(
        field,
        fmt::format("{} is not a multiple of micro_batch_size x data_parallel_size = {} x {} = {}",
                    size, spec.layout.micro_batch_size, spec.layout.data_parallel_size, per_pass),
        fmt::format("use a multiple of {}", per_pass));
  }
  check_ramp_of_schedule(spec, findings);
  if (t.rampup_tokens == 0) {
    findings.error(
        "training.rampup_tokens", "0: the ramp has no length",
        fmt::format("use {}, a tenth of the run",
                    std::max<std::int64_t>(1, spec.tokens_per_step() * t.num_steps / 10)));
  }
}

// This engine's attention, loss and lack of dropout are what they are.
void check_software(const SoftwareConfig& software, Findings& findings) {
  if (software.framework != Framework::teragpt) return;
  const auto fixed = [&findings](const char* field, bool differs, const char* what) {
    if (!differs) return;
    findings.error(field, fmt::format("framework teragpt {}", what),
                   "leave it out, or name the framework it is meant for");
  };
  fixed("software.fused_attention", !software.fused_attention, "always fuses attention");
  fixed("software.fused_cross_entropy", !software.fused_cross_entropy, "always fuses the loss");
  fixed("software.dropout", software.dropout, "has no dropout");
  fixed("software.compiled", !software.compiled, "always fuses elementwise operations");
  fixed("software.cuda_graphs", software.cuda_graphs != GraphScope::none, "starts each operation");
  fixed("software.tensor_overlap", software.tensor_overlap, "sends before or after products");
  fixed("software.gradient_overlap", !software.gradient_overlap, "always overlaps gradients");
  fixed("software.token_deduplication", software.token_deduplication,
        "sends a token to each of its experts");
  fixed("software.fused_experts", software.fused_experts, "casts apart from products");
  fixed("software.attention_share", software.attention_share != 1, "has one attention kernel");
}

}  // namespace

void check_training(const RunSpec& spec, Findings& findings) {
  check_schedule(spec, findings);
  check_batch(spec, findings);
  check_batch_ramp(spec, findings);
  check_parametrization(spec, findings);
  check_software(spec.software, findings);
}

}  // namespace tera::spec
