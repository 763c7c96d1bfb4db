// What ranks share out besides matrices and layers: sequences, the states of the optimizer, and the
// time in which rows travel.
#include <algorithm>
#include <string>

#include <fmt/format.h>

#include "core/spec/findings.h"

namespace tera::spec {
namespace {

// Each rank has a piece of every sequence; of a ring one from the front and one from the back, so
// that causal work is even.
void check_pieces(const RunSpec& spec, Findings& findings) {
  const int size = spec.layout.context_parallel_size;
  const bool ring = spec.layout.context_parallel_method == ContextMethod::ring;
  const std::int64_t pieces = (ring ? 2 : 1) * std::int64_t{size};
  if (spec.training.seq_length % pieces == 0) return;
  const std::int64_t below = spec.training.seq_length / pieces * pieces;
  findings.error("training.seq_length",
                 fmt::format("{} is not a multiple of {}context_parallel_size = {}",
                             spec.training.seq_length, ring ? "2 x " : "", pieces),
                 below > 0 ? fmt::format("use {} or {}", below, below + pieces)
                           : fmt::format("use {}", pieces));
}

// Each rank has the heads of a tensor rank that the others have not.
void check_heads_of_context(const RunSpec& spec, Findings& findings) {
  const ModelConfig& m = spec.model;
  const int size = spec.layout.context_parallel_size;
  const int tensor = spec.layout.tensor_parallel_size;
  constexpr const char* kAxis = "layout.context_parallel_size";
  if (m.num_attention_heads % tensor != 0) return;  // found elsewhere
  const int heads = m.num_attention_heads / tensor;
  const std::string a_rank =
      tensor > 1 ? fmt::format(" / tensor_parallel_size = {} / {}", m.num_attention_heads, tensor)
                 : std::string();
  if (heads % size != 0) {
    findings.error(kAxis,
                   fmt::format("{} with context_parallel_method ulysses does not divide "
                               "model.num_attention_heads{} = {}",
                               size, a_rank, heads),
                   nearest_divisors(heads, size) + ", or ring");
    return;
  }
  const int kv_heads = std::max(1, m.num_key_value_heads / tensor);
  if (m.attention == AttentionKind::latent || kv_heads % size == 0) return;
  if (size % kv_heads == 0) {
    findings.warning(kAxis,
                     fmt::format("{} is more than the {} of model.num_key_value_heads = {} that a "
                                 "rank has: ulysses sends keys and values to several ranks",
                                 size, kv_heads, m.num_key_value_heads),
                     fmt::format("use at most {}, or ring", kv_heads));
  } else {
    findings.error(kAxis,
                   fmt::format("{} with context_parallel_method ulysses does not divide the {} of "
                               "model.num_key_value_heads = {} that a rank has",
                               size, kv_heads, m.num_key_value_heads),
                   nearest_divisors(kv_heads, size) + ", or ring");
  }
}

void check_context_axis(const RunSpec& spec, Findings& findings) {
  if (spec.layout.context_parallel_size == 1) return;
  check_pieces(spec, findings);
  if (spec.layout.context_parallel_method == ContextMethod::ulysses)
    check_heads_of_context(spec, findings);
}

void check_sharding(const RunSpec& spec, Findings& findings) {
  const ParallelLayout& layout = spec.layout;
  // TeraGPT sums gradients once a step, and gathers weights for every pass.
  const bool sums_once = spec.software.framework == Framework::teragpt;
  if (layout.zero_stage >= (sums_once ? 3 : 2) && layout.pipeline_parallel_size > 1) {
    findings.warning(
        "layout.zero_stage",
        fmt::format("{} with a pipeline repeats its communication for every micro-batch",
                    layout.zero_stage),
        "use 1 with pipeline_parallel_size > 1");
  }
  if (layout.zero_stage >= 2 && sums_once && spec.num_micro_batches() > 1) {
    findings.note("layout.zero_stage",
                  fmt::format("{} shares gradients out after the last of {} micro-batches, and "
                              "keeps them whole until then",
                              layout.zero_stage, spec.num_micro_batches()),
                  "");
  }
  if (layout.zero_stage > 0 &&
      std::int64_t{layout.data_parallel_size} * layout.context_parallel_size == 1) {
    findings.note("layout.zero_stage", "has no effect with one replica", "");
  }
}

// What TeraGPT needs to compute one micro-batch while rows of another travel.
void check_expert_overlap(const RunSpec& spec, Findings& findings) {
  if (spec.software.framework != Framework::teragpt || !spec.software.expert_overlap ||
      spec.overlaps_experts())
    return;
  const ParallelLayout& layout = spec.layout;
  std::string why = "one micro-batch";
  const char* hint = "raise training.global_batch_size";
  if (spec.model.num_experts == 0 || layout.expert_parallel_size == 1) {
    why = "expert_parallel_size 1: no rows travel";
    hint = "";
  } else if (!RunSpec::forms_pairs(layout.schedule) && layout.schedule_file.empty()) {
    why = fmt::format(
        "layout.schedule {}, which does not have forwards and backwards of different "
        "micro-batches in pairs on every stage",
        enum_name(layout.schedule));
    hint = "use 1f1b, interleaved or dualpipe-v";
  } else if (spec.num_micro_batches() == 0) {  // an error of its own
    return;
  }
  findings.note("software.expert_overlap", "has no effect with " + why, hint);
}

}  // namespace

void check_sharing(const RunSpec& spec, Findings& findings) {
  check_context_axis(spec, findings);
  check_sharding(spec, findings);
  check_expert_overlap(spec, findings);
}

}  // namespace tera::spec
