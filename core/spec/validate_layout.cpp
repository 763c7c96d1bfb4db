// Rules of the layout.
#include <algorithm>
#include <functional>
#include <limits>
#include <numeric>
#include <string>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "core/spec/findings.h"
#include "core/spec/validate.h"

namespace tera::spec {
namespace {

// Something that an axis divides.
struct Whole {
  std::string field;
  std::int64_t size;
};

std::int64_t common_divisor(const std::vector<Whole>& wholes) {
  std::int64_t common = 0;
  for (const Whole& whole : wholes)
    common = std::gcd(common, whole.size);
  return common;
}

// Finds what the size of an axis does not divide. The hint is what all of them allow.
void must_divide(
    Findings& findings,
    const char* axis,
    std::int64_t size,
    const std::vector<Whole>& wholes,
    const std::function<bool(std::int64_t)>& is_legal = [](std::int64_t) { return true; }) {
  for (const Whole& whole : wholes) {
    if (whole.size % size != 0) {
      findings.error(axis, fmt::format("{} does not divide {} = {}", size, whole.field, whole.size),
                     nearest_divisors(common_divisor(wholes), size, is_legal));
    }
  }
}

void check_tensor_axis(const RunSpec& spec, Findings& findings) {
  const ModelConfig& m = spec.model;
  const ParallelLayout& layout = spec.layout;
  const int size = layout.tensor_parallel_size;
  constexpr const char* kAxis = "layout.tensor_parallel_size";
  if (size == 1) {
    if (layout.sequence_parallel) {
      findings.note("layout.sequence_parallel", "has no effect with tensor_parallel_size 1", "");
    }
    return;
  }
  const int kv_heads = m.attention == AttentionKind::grouped_query ? m.num_key_value_heads : 0;
  const auto replicates = [kv_heads](std::int64_t ranks) {
    return kv_heads > 0 && ranks > kv_heads && ranks % kv_heads == 0;
  };
  std::vector<Whole> wholes = {{"model.num_attention_heads", m.num_attention_heads}};
  if (m.num_moe_layers(m.num_layers) < m.num_layers)
    wholes.push_back({"model.ffn_hidden_size", m.ffn_hidden_size});
  if (m.num_experts > 0 && m.num_shared_experts > 0) {
    wholes.push_back({"model.moe_ffn_hidden_size x num_shared_experts",
                      std::int64_t{m.moe_ffn_hidden_size} * m.num_shared_experts});
  }
  if (layout.sequence_parallel) {
    wholes.push_back({"seq_length / context_parallel_size",
                      spec.training.seq_length / std::max(1, layout.context_parallel_size)});
  }
  if (replicates(size)) {
    findings.warning(
        kAxis,
        fmt::format(
            "{} is more than model.num_key_value_heads = {}: key and value heads are replicated",
            size, kv_heads),
        fmt::format("use at most {}", kv_heads));
  }
  const auto is_legal = [&](std::int64_t ranks) {
    return kv_heads % ranks == 0 || replicates(ranks);
  };
  must_divide(findings, kAxis, size, wholes, is_legal);
  if (!is_legal(size)) {
    findings.error(kAxis,
                   fmt::format("{} does not divide model.num_key_value_heads = {}", size, kv_heads),
                   nearest_divisors(common_divisor(wholes), size, is_legal));
  }
  if (m.vocab_size % size != 0) {
    findings.warning(
        "model.vocab_size",
        fmt::format("{} is not a multiple of tensor_parallel_size = {}: rows are padded",
                    m.vocab_size, size),
        fmt::format("use {}", (m.vocab_size / size + 1) * std::int64_t{size}));
  }
  if (m.num_experts > 0 && !layout.sequence_parallel) {
    findings.error(
        "layout.sequence_parallel",
        fmt::format(
            "false, but experts with tensor_parallel_size = {} would each see every token {} times",
            size, size),
        "use true");
  }
}

void check_expert_axes(const RunSpec& spec, Findings& findings) {
  const ModelConfig& m = spec.model;
  const ParallelLayout& layout = spec.layout;
  const int experts = layout.expert_parallel_size;
  const int inner = layout.expert_tensor_parallel_size;
  constexpr const char* kExperts = "layout.expert_parallel_size";
  constexpr const char* kInner = "layout.expert_tensor_parallel_size";
  if (m.num_experts == 0) {
    if (experts > 1 || inner > 1) {
      findings.error(experts > 1 ? kExperts : kInner,
                     fmt::format("{}, but the model has no experts", experts > 1 ? experts : inner),
                     "use 1");
    }
    return;
  }
  const std::int64_t stage = std::int64_t{layout.tensor_parallel_size} *
                             layout.context_parallel_size * layout.data_parallel_size;
  const auto divides_stage = [stage](std::int64_t ranks) { return stage % ranks == 0; };
  const auto legal_experts = [&](std::int64_t ranks) { return divides_stage(ranks * inner); };
  const auto legal_inner = [&](std::int64_t ranks) { return divides_stage(ranks * experts); };
  must_divide(findings, kExperts, experts, {{"model.num_experts", m.num_experts}}, legal_experts);
  must_divide(findings, kInner, inner, {{"model.moe_ffn_hidden_size", m.moe_ffn_hidden_size}},
              legal_inner);
  const std::int64_t folded = std::int64_t{experts} * inner;
  if (divides_stage(folded)) return;
  const bool inner_alone = divides_stage(experts);  // the other size may stay
  findings.error(
      inner_alone ? kInner : kExperts,
      fmt::format("expert_parallel_size x expert_tensor_parallel_size = {} x {} = {} does not "
                  "divide the {} ranks of a pipeline stage (tensor x context x data)",
                  experts, inner, folded, stage),
      inner_alone ? nearest_divisors(m.moe_ffn_hidden_size, inner, legal_inner)
      : divides_stage(inner)
          ? nearest_divisors(m.num_experts, experts, legal_experts)
          : fmt::format("{}, and expert_tensor_parallel_size 1",
                        nearest_divisors(m.num_experts, experts, divides_stage)));
}

// What the published schedules ask of stages, chunks and micro-batches.
void check_schedule(const RunSpec& spec, Findings& findings) {
  const ParallelLayout& layout = spec.layout;
  const std::string kind(enum_name(layout.schedule));
  const int stages = layout.pipeline_parallel_size;
  const int chunks = layout.virtual_stages;
  const bool one_chunk =
      layout.schedule != ScheduleKind::interleaved && !runs_in_v(layout.schedule);
  constexpr const char* kChunks = "layout.virtual_stages";
  if (one_chunk && chunks != 1) {
    findings.error(
        kChunks, fmt::format("{}, but the schedule {} has one model chunk per rank", chunks, kind),
        "use 1, or the schedule interleaved");
  } else if (runs_in_v(layout.schedule) && chunks != 2) {
    findings.error(
        kChunks, fmt::format("{}, but the schedule {} has two model chunks per rank", chunks, kind),
        "use 2");
  } else if (layout.schedule == ScheduleKind::interleaved && chunks < 2) {
    findings.error(kChunks, "1, but the schedule interleaved needs several model chunks per rank",
                   "use 2, or the schedule 1f1b");
  }
  const std::int64_t links = std::int64_t{stages} * chunks;
  const int parts = spec.pipeline_parts().total();
  if (chunks > 1 && links > parts) {
    findings.error(kChunks,
                   fmt::format("pipeline_parallel_size x virtual_stages = {} x {} is more than "
                               "model.num_layers = {}{}",
                               stages, chunks, spec.model.num_layers,
                               layout.ends_count_as_layers ? " and both ends" : ""),
                   fmt::format("use at most {}", std::max(1, parts / stages)));
  }
  if (layout.schedule == ScheduleKind::gpipe || layout.schedule == ScheduleKind::one_f_one_b)
    return;
  if (stages == 1) {
    findings.error("layout.schedule", fmt::format("{} with pipeline_parallel_size 1", kind),
                   "use 1f1b");
    return;
  }
  const std::int64_t count = spec.num_micro_batches();  // 0: found elsewhere
  const auto batch_of = [&](std::int64_t micro_batches) {
    return fmt::format("use training.global_batch_size {}",
                       micro_batches * layout.micro_batch_size * layout.data_parallel_size);
  };
  if (layout.schedule == ScheduleKind::interleaved && count % stages != 0) {
    findings.error("layout.schedule",
                   fmt::format("interleaved with {} micro-batches, which is not a multiple of "
                               "pipeline_parallel_size = {}",
                               count, stages),
                   batch_of((count / stages + 1) * stages));
  }
  if (layout.schedule == ScheduleKind::dualpipe_v && count > 0 && count < 2 * stages) {
    findings.error("layout.schedule",
                   fmt::format("dualpipe-v with {} micro-batches, fewer than "
                               "2 x pipeline_parallel_size = {}",
                               count, 2 * stages),
                   batch_of(2 * std::int64_t{stages}));
  }
}

void check_pipeline_axis(const RunSpec& spec, Findings& findings) {
  const ParallelLayout& layout = spec.layout;
  const int stages = layout.pipeline_parallel_size;
  const int parts = spec.pipeline_parts().total();
  const char* const ends = layout.ends_count_as_layers ? " and both ends" : "";
  if (stages > parts) {
    findings.error(
        "layout.pipeline_parallel_size",
        fmt::format("{} is more than model.num_layers = {}{}", stages, spec.model.num_layers, ends),
        fmt::format("use at most {}", parts));
  } else if (layout.virtual_stages == 1 && parts % stages != 0) {
    findings.note(
        "layout.pipeline_parallel_size",
        fmt::format(
            "{} does not divide model.num_layers = {}{}: the first {} stages hold {}, the others "
            "{}",
            stages, spec.model.num_layers, ends, parts % stages,
            layout.ends_count_as_layers ? fmt::format("{} of them", parts / stages + 1)
                                        : fmt::format("{} layers", parts / stages + 1),
            parts / stages),
        nearest_divisors(parts, stages) + " for equal stages");
  }
  check_schedule(spec, findings);
}

void check_dispatcher(const RunSpec& spec, Findings& findings) {
  const ParallelLayout& layout = spec.layout;
  if (layout.expert_dispatcher == ExpertDispatcher::all_to_all) return;
  constexpr const char* kField = "layout.expert_dispatcher";
  if (spec.model.num_experts == 0) {
    findings.note(kField, "has no effect without experts", "");
  } else if (layout.expert_parallel_size * std::int64_t{layout.expert_tensor_parallel_size} == 1) {
    findings.note(kField, "has no effect with expert_parallel_size 1", "");
  } else if (spec.software.token_deduplication) {
    findings.error(kField,
                   fmt::format("{}, but software.token_deduplication sends tokens to their experts",
                               enum_name(layout.expert_dispatcher)),
                   "use all-to-all, or token_deduplication false");
  }
}

// Copies of what ZeRO shards are as many replicas each, of experts too.
void check_copies(const RunSpec& spec, Findings& findings) {
  const ParallelLayout& layout = spec.layout;
  const int copies = layout.zero_replicas;
  if (copies == 1) return;
  constexpr const char* kCopies = "layout.zero_replicas";
  const std::int64_t replicas =
      std::int64_t{layout.context_parallel_size} * layout.data_parallel_size;
  const std::int64_t folded =
      std::int64_t{layout.expert_parallel_size} * layout.expert_tensor_parallel_size;
  const std::int64_t stage = replicas * layout.tensor_parallel_size;
  std::vector<Whole> wholes = {{"context_parallel_size x data_parallel_size", replicas}};
  if (spec.model.num_experts > 0 && stage % folded == 0)
    wholes.push_back({"replicas of experts", stage / folded});
  must_divide(findings, kCopies, copies, wholes);
  if (layout.zero_stage == 0) {
    findings.note(kCopies, "has no effect with zero_stage 0", "");
  } else if (std::all_of(wholes.begin(), wholes.end(),
                         [copies](const Whole& whole) { return whole.size == copies; })) {
    findings.note(kCopies, fmt::format("{} copies are a rank each: nothing is sharded", copies),
                  fmt::format("use zero_stage 0, or less than {}", copies));
  }
}

// Ranks that hold one replica of experts in a stage: of those that are not there, as of the rest.
std::int64_t folded_ranks(const RunSpec& spec) {
  const ParallelLayout& layout = spec.layout;
  if (spec.model.num_experts == 0) return layout.tensor_parallel_size;
  return std::int64_t{layout.expert_parallel_size} * layout.expert_tensor_parallel_size;
}

// Where the framework that runs it puts ranks. DeepSpeed: PipeModelDataParallelTopology, with axes
// pipe, data, model; TorchTitan: ParallelDims, pp before dp, cp and tp.
void check_rank_order(const RunSpec& spec, Findings& findings) {
  const ParallelLayout& layout = spec.layout;
  if (layout.rank_order == RankOrder::tp_cp_ep_dp_pp) return;
  constexpr const char* kField = "layout.rank_order";
  const std::string_view order = enum_name(layout.rank_order);
  const std::string hint = fmt::format("use {}", enum_name(RankOrder::tp_cp_ep_dp_pp));
  const Framework framework = spec.software.framework;
  if (framework == Framework::deepspeed || framework == Framework::torchtitan) {
    findings.error(kField,
                   fmt::format("{}, but framework {} always puts stages farthest apart", order,
                               enum_name(framework)),
                   hint);
  } else if (framework == Framework::megatron_lm && !megatron_alternates_stages(spec)) {
    findings.error(
        kField,
        fmt::format("{}, but framework megatron_lm wants as many replicas of experts as of the "
                    "rest: each is on {} and {} ranks of a stage",
                    order, folded_ranks(spec),
                    std::int64_t{layout.tensor_parallel_size} * layout.context_parallel_size),
        hint);
  } else if (layout.pipeline_parallel_size == 1 || layout.data_parallel_size == 1) {
    findings.note(kField,
                  fmt::format("has no effect with {} 1", layout.pipeline_parallel_size == 1
                                                             ? "pipeline_parallel_size"
                                                             : "data_parallel_size"),
                  "");
  }
}

}  // namespace

void check_layout(const RunSpec& spec, Findings& findings) {
  const ParallelLayout& layout = spec.layout;
  const double ranks = double{1} * layout.tensor_parallel_size * layout.context_parallel_size *
                       layout.data_parallel_size * layout.pipeline_parallel_size;
  const double folded =
      double{1} * layout.expert_parallel_size * layout.expert_tensor_parallel_size;
  if (ranks > std::numeric_limits<int>::max() || folded > std::numeric_limits<int>::max()) {
    findings.error(
        "layout",
        fmt::format("{:.3g} ranks, expected at most 2,147,483,647", std::max(ranks, folded)),
        "lower the sizes of the axes");
    return;
  }
  check_tensor_axis(spec, findings);
  check_pipeline_axis(spec, findings);
  check_expert_axes(spec, findings);
  check_dispatcher(spec, findings);
  check_rank_order(spec, findings);
  check_sharing(spec, findings);
  check_copies(spec, findings);
  check_placement(spec, findings);
}

bool megatron_alternates_stages(const RunSpec& spec) {
  return spec.layout.pipeline_parallel_size == 1 ||
         folded_ranks(spec) ==
             std::int64_t{spec.layout.tensor_parallel_size} * spec.layout.context_parallel_size;
}

}  // namespace tera::spec
