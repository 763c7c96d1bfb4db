// What this build's engine does not train.
#include <string>
#include <utility>

#include <fmt/format.h>

#include "core/spec/findings.h"
#include "core/spec/validate.h"

namespace tera::spec {
namespace {

// Where ranks hold parts of a matrix.
void check_split_matrices(const RunSpec& spec, const char* field, int size, Findings& findings) {
  if (size == 1) return;
  const OptimizerKind optimizer = spec.training.optimizer;
  if (optimizer == OptimizerKind::muon || optimizer == OptimizerKind::adafactor) {
    findings.error(field,
                   fmt::format("{} splits matrices, but training.optimizer {} updates whole ones",
                               size, enum_name(optimizer)),
                   "use 1, or adamw, lion or sgd");
  }
}

void check_split_model(const RunSpec& spec, Findings& findings) {
  const ParallelLayout& layout = spec.layout;
  if (!spec.lora.enabled()) return;
  for (const auto& [field, size] :
       {std::pair("layout.tensor_parallel_size", layout.tensor_parallel_size),
        std::pair("layout.expert_parallel_size", layout.expert_parallel_size),
        std::pair("layout.expert_tensor_parallel_size", layout.expert_tensor_parallel_size)}) {
    if (size == 1) continue;
    findings.error(field,
                   fmt::format("{} can be planned, but this engine trains adapters beside whole "
                               "weights only",
                               size),
                   "use 1 to train here");
  }
}

void check_zero_for_engine(const RunSpec& spec, Findings& findings) {
  const int stage = spec.layout.zero_stage;
  const OptimizerKind optimizer = spec.training.optimizer;
  if (stage == 0) return;
  if (optimizer == OptimizerKind::muon || optimizer == OptimizerKind::adafactor) {
    findings.error("layout.zero_stage",
                   fmt::format("{} shares tensors out in shards of equal size, but "
                               "training.optimizer {} updates whole matrices",
                               stage, enum_name(optimizer)),
                   "use 0, or adamw, lion or sgd");
  }
  if (stage > 1 && spec.layout.pipeline_parallel_size > 1) {
    findings.error("layout.zero_stage",
                   fmt::format("{} with pipeline_parallel_size {} can be planned, but this engine "
                               "gathers weights and sums gradients of one pass at a time",
                               stage, spec.layout.pipeline_parallel_size),
                   "use 0 or 1 to train here");
  } else if (stage > 2 && spec.overlaps_experts()) {
    findings.error("layout.zero_stage",
                   fmt::format("{} with software.expert_overlap can be planned, but this engine "
                               "gathers weights of one pass at a time",
                               stage),
                   "use at most 2 to train here, or no expert_overlap");
  } else if (stage > 1 && !spec.layout.schedule_file.empty()) {
    findings.error("layout.zero_stage",
                   fmt::format("{} with a layout.schedule_file can be planned, but this engine "
                               "gathers weights and sums gradients in its own order",
                               stage),
                   "use 0 or 1 to train here, or no schedule_file");
  }
}

// Gradients of a micro-batch are summed before the next one adds to them: those of the head come
// with the loss, those of a shared embedding matrix from both ends of the model.
void check_reproducible_sums(const RunSpec& spec, Findings& findings) {
  if (!spec.training.reproducible_sums) return;
  constexpr const char* kField = "training.reproducible_sums";
  const ParallelLayout& layout = spec.layout;
  const bool has_file = !layout.schedule_file.empty();
  const bool alternates =
      layout.schedule == ScheduleKind::one_f_one_b || layout.schedule == ScheduleKind::interleaved;
  if (has_file || !alternates) {
    findings.error(
        kField,
        fmt::format("true can be planned, but with {} this engine adds up gradients of "
                    "several micro-batches at a time",
                    has_file ? "a layout.schedule_file"
                             : fmt::format("layout.schedule {}", enum_name(layout.schedule))),
        "use 1f1b or interleaved and no schedule_file, or false, to train here");
  } else if (spec.overlaps_experts()) {
    findings.error(kField,
                   "true can be planned, but with software.expert_overlap this engine adds up "
                   "gradients of two micro-batches at a time",
                   "use no expert_overlap, or false, to train here");
  } else if (layout.pipeline_parallel_size > 1 &&
             (spec.model.tie_embeddings || spec.model.num_mtp_layers > 0)) {
    findings.error(kField,
                   fmt::format("true can be planned, but this engine adds up the gradients of an "
                               "embedding matrix that {} stages share after the last micro-batch",
                               layout.pipeline_parallel_size),
                   "use pipeline_parallel_size 1, or false, to train here");
  }
}

}  // namespace

std::vector<Diagnostic> validate_for_engine(const RunSpec& spec) {
  Findings findings;
  const ParallelLayout& layout = spec.layout;
  check_split_matrices(spec, "layout.tensor_parallel_size", layout.tensor_parallel_size, findings);
  check_split_matrices(spec, "layout.expert_tensor_parallel_size",
                       layout.expert_tensor_parallel_size, findings);
  check_split_model(spec, findings);
  check_zero_for_engine(spec, findings);
  check_reproducible_sums(spec, findings);
  Offload::visit_fields(layout.offload, [&findings](const Field& field, const OffloadTier& tier) {
    if (tier == OffloadTier::none) return;
    findings.error(
        fmt::format("layout.offload.{}", field.name),
        fmt::format("{} can be planned, but this engine keeps all on the device", enum_name(tier)),
        "use none to train here");
  });
  const TrainingConfig& training = spec.training;
  const auto lacks = [&findings](const char* field, std::string_view value, const char* use) {
    findings.error(field,
                   fmt::format("{} can be planned, but this engine does not train so", value),
                   fmt::format("use {} to train here", use));
  };
  if (has_narrow_products(training.precision))
    lacks("training.precision", enum_name(training.precision), "bf16");
  if (training.gradient_precision != GradientPrecision::fp32)
    lacks("training.gradient_precision", enum_name(training.gradient_precision), "fp32");
  if (training.moment_precision != MomentPrecision::fp32)
    lacks("training.moment_precision", enum_name(training.moment_precision), "fp32");
  if (spec.software.framework != Framework::teragpt)
    lacks("software.framework", enum_name(spec.software.framework), "teragpt");
  if (!spec.cluster.device.is_cpu && !spec.cluster.preset.empty()) {
    findings.error(
        "cluster.device.is_cpu",
        fmt::format("a cluster of {} can be planned, but this engine computes on processors",
                    spec.cluster.device.name),
        "use `cluster: {preset: this-machine}` to train here");
  }
  if (spec.data.datasets.empty()) {
    findings.error("data.datasets", "empty, expected token files to train on",
                   "prepare them with `teragpt data prepare`");
  }
  return findings.take();
}

}  // namespace tera::spec
