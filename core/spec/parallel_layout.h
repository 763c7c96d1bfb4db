// How a run is spread over ranks: the size of each axis, and how a step is cut into micro-batches.
#pragma once
#include <cstdint>
#include <string>

#include "core/base/fields.h"

namespace tera::spec {

enum class ScheduleKind : std::uint8_t {
  gpipe,
  one_f_one_b,
  interleaved,
  zb_h1,
  zb_h2,
  zb_v,
  dualpipe_v
};
// Whether the second chunk of a stage runs back through the stages: "V", always two chunks.
constexpr bool runs_in_v(ScheduleKind kind) {
  return kind == ScheduleKind::zb_v || kind == ScheduleKind::dualpipe_v;
}
enum class RecomputeKind : std::uint8_t { none, selective, full };

// How context ranks attend to each other's tokens: keys and values go around between them, or each
// gets all tokens of some heads.
enum class ContextMethod : std::uint8_t { ring, ulysses };

// How rows reach the ranks of their experts: each to its rank alone, or all tokens to all ranks.
enum class ExpertDispatcher : std::uint8_t { all_to_all, all_gather };

// The order of the axes over the ranks, neighbours first, in Megatron's words: stages farthest
// apart; or stages in turns, of each as many ranks side by side as tensor, context and expert
// groups need, and the other replicas farthest apart.
enum class RankOrder : std::uint8_t { tp_cp_ep_dp_pp, tp_cp_ep_pp_dp };

// Where a kind of state stays between its uses: on the device, in the host's memory, on its disks.
enum class OffloadTier : std::uint8_t { none, host, nvme };

struct Offload {
  OffloadTier weights = OffloadTier::none;  // layer by layer to the device, and forgotten there
  OffloadTier gradients = OffloadTier::none;
  OffloadTier optimizer = OffloadTier::none;    // the host's processors update then
  OffloadTier activations = OffloadTier::none;  // what forward keeps for backward
  bool operator==(const Offload&) const = default;
  bool any() const { return !(*this == Offload{}); }

  template <class Self, class Visitor>
  static void visit_fields(Self& self, Visitor&& visit) {
    visit(Field{.name = "weights",
                .help = "Where weights stay: none (on the device), host or nvme. Else they stream "
                        "to the device layer by layer, twice a step.",
                .source = "Rajbhandari et al. 2021, ZeRO-Infinity"},
          self.weights);
    visit(Field{.name = "gradients", .help = "Where gradients go as soon as a layer has them."},
          self.gradients);
    visit(Field{.name = "optimizer",
                .help = "Where master weights and moments stay; the host's processors update.",
                .source = "Ren et al. 2021, ZeRO-Offload"},
          self.optimizer);
    visit(Field{.name = "activations", .help = "Where what forward keeps waits for backward."},
          self.activations);
  }
};

struct ParallelLayout {
  int tensor_parallel_size = 1;
  int context_parallel_size = 1;
  ContextMethod context_parallel_method = ContextMethod::ring;
  int data_parallel_size = 1;
  int pipeline_parallel_size = 1;
  int expert_parallel_size = 1;
  int expert_tensor_parallel_size = 1;
  RankOrder rank_order = RankOrder::tp_cp_ep_dp_pp;
  int virtual_stages = 1;             // model chunks per pipeline rank
  bool ends_count_as_layers = false;  // embedding and head, where layers are shared among chunks
  int zero_stage = 0;                 // 0 none, 1 optimizer, 2 + gradients, 3 + parameters
  int zero_replicas = 1;              // copies of what ZeRO shards
  bool sequence_parallel = false;
  int micro_batch_size = 1;  // sequences
  ScheduleKind schedule = ScheduleKind::one_f_one_b;
  std::string schedule_file = {};  // order of actions in place of the schedule's own; empty: none
  RecomputeKind recompute = RecomputeKind::none;
  ExpertDispatcher expert_dispatcher = ExpertDispatcher::all_to_all;
  double expert_load_percentile = 50;  // of the load of the busiest expert-parallel rank
  Offload offload;
  bool operator==(const ParallelLayout&) const = default;

  std::int64_t world_size() const {
    return std::int64_t{tensor_parallel_size} * context_parallel_size * data_parallel_size *
           pipeline_parallel_size;
  }

  template <class Self, class Visitor>
  static void visit_fields(Self& self, Visitor&& visit) {
    constexpr double kMax = 1 << 20;
    visit(Field{.name = "tensor_parallel_size",
                .min = 1,
                .max = kMax,
                .help = "Ranks that split each matrix.",
                .source = "Shoeybi et al. 2019, Megatron-LM"},
          self.tensor_parallel_size);
    visit(Field{.name = "context_parallel_size",
                .min = 1,
                .max = kMax,
                .help = "Ranks that split each sequence."},
          self.context_parallel_size);
    visit(Field{.name = "context_parallel_method",
                .help = "How they attend to each other's tokens: ring (keys and values go around) "
                        "or ulysses (each gets all tokens of some heads).",
                .source = "Liu et al. 2023, Ring Attention; Jacobs et al. 2023, DeepSpeed-Ulysses"},
          self.context_parallel_method);
    visit(Field{.name = "data_parallel_size",
                .min = 1,
                .max = kMax,
                .help = "Replicas that see different sequences."},
          self.data_parallel_size);
    visit(Field{.name = "pipeline_parallel_size",
                .min = 1,
                .max = kMax,
                .help = "Stages that the layers are cut into."},
          self.pipeline_parallel_size);
    visit(Field{.name = "expert_parallel_size",
                .min = 1,
                .max = kMax,
                .help = "Ranks that share out the experts of a layer."},
          self.expert_parallel_size);
    visit(Field{.name = "expert_tensor_parallel_size",
                .min = 1,
                .max = kMax,
                .help = "Ranks that split each expert's matrices."},
          self.expert_tensor_parallel_size);
    visit(Field{.name = "rank_order",
                .help = "Order of the axes over the ranks, neighbours first: tp-cp-ep-dp-pp "
                        "(replicas side by side, stages far apart) or tp-cp-ep-pp-dp (stages side "
                        "by side, replicas far apart).",
                .source = "Megatron-LM, --use-tp-pp-dp-mapping; Narayanan et al. 2021, section 3"},
          self.rank_order);
    visit(Field{.name = "virtual_stages",
                .min = 1,
                .max = 1024,
                .help = "Model chunks per pipeline rank."},
          self.virtual_stages);
    visit(Field{.name = "ends_count_as_layers",
                .help = "Embedding and head count as one layer each when layers are shared among "
                        "the pipeline: its first and last chunk have one layer less. With "
                        "multi-token prediction its layer and head count too, and the embedding "
                        "does not.",
                .source = "Qi et al. 2023, section 5.1; Llama team 2024, section 3.3.2"},
          self.ends_count_as_layers);
    visit(Field{.name = "zero_stage",
                .min = 0,
                .max = 3,
                .help = "0 replicate, 1 shard optimizer state, 2 + gradients, 3 + parameters over "
                        "data-parallel ranks. TeraGPT shares gradients out once a step: with "
                        "several micro-batches 2 and 3 keep them whole until then.",
                .source = "Rajbhandari et al. 2020, ZeRO"},
          self.zero_stage);
    visit(Field{.name = "zero_replicas",
                .min = 1,
                .max = kMax,
                .help = "Copies of what ZeRO shards. 1 shards over all data-parallel ranks; more "
                        "shard over as many neighbours as make up one copy, such as the ranks of "
                        "a node, and sum gradients across the copies.",
                .source = "Zhao et al. 2023, PyTorch FSDP, hybrid sharding; Zhang et al. 2022, "
                          "MiCS"},
          self.zero_replicas);
    visit(Field{.name = "sequence_parallel",
                .help = "Split norms and residuals over the tensor-parallel ranks.",
                .source = "Korthikanti et al. 2022"},
          self.sequence_parallel);
    visit(Field{.name = "micro_batch_size",
                .unit = "sequences",
                .min = 1,
                .max = kMax,
                .help = "Sequences per forward pass of one replica."},
          self.micro_batch_size);
    visit(Field{.name = "schedule",
                .help = "Order of work in the pipeline: gpipe, 1f1b, interleaved (several model "
                        "chunks per rank), zb-h1 (backward in two halves), zb-h2 (twice the "
                        "micro-batches ahead), zb-v or dualpipe-v (two chunks in a V).",
                .source = "Narayanan et al. 2021; Qi et al. 2023, 2024; DeepSeek 2025"},
          self.schedule);
    visit(Field{.name = "schedule_file",
                .help = "File with the actions of every stage, a line each, in place of the order "
                        "of the schedule, which still says how many chunks a stage has and where "
                        "they lie. `teragpt simulate --print-schedule` writes one to start from."},
          self.schedule_file);
    visit(Field{.name = "recompute",
                .help = "Activations recomputed in backward: none, selective (norms and "
                        "activations), full (whole layers)."},
          self.recompute);
    visit(Field{.name = "expert_dispatcher",
                .help = "How rows reach their experts: all-to-all (each row to its ranks alone) or "
                        "all-gather (all tokens to all expert ranks, results summed back).",
                .source = "Megatron-LM, --moe-token-dispatcher-type"},
          self.expert_dispatcher);
    visit(Field{.name = "expert_load_percentile",
                .min = 0,
                .max = 99.99,
                .step = 5,
                .help = "The plan's expert-parallel rank is as busy as this share of steps' "
                        "busiest; 0 is even load."},
          self.expert_load_percentile);
    visit(Field{.name = "offload", .help = "What leaves the device between its uses."},
          self.offload);
  }
};

}  // namespace tera::spec

namespace tera {
template <>
struct EnumNames<spec::ScheduleKind> {
  static constexpr std::array<std::string_view, 7> value = {"gpipe", "1f1b", "interleaved", "zb-h1",
                                                            "zb-h2", "zb-v", "dualpipe-v"};
};
template <>
struct EnumNames<spec::RecomputeKind> {
  static constexpr std::array<std::string_view, 3> value = {"none", "selective", "full"};
};
template <>
struct EnumNames<spec::ContextMethod> {
  static constexpr std::array<std::string_view, 2> value = {"ring", "ulysses"};
};
template <>
struct EnumNames<spec::ExpertDispatcher> {
  static constexpr std::array<std::string_view, 2> value = {"all-to-all", "all-gather"};
};
template <>
struct EnumNames<spec::RankOrder> {
  static constexpr std::array<std::string_view, 2> value = {"tp-cp-ep-dp-pp", "tp-cp-ep-pp-dp"};
};
template <>
struct EnumNames<spec::OffloadTier> {
  static constexpr std::array<std::string_view, 3> value = {"none", "host", "nvme"};
};
}  // namespace tera
