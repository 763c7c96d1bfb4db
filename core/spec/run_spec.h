// RunSpec: the whole decision. The one input of plan, launch and train; equal specs give equal
// runs.
#pragma once
#include <cstdint>
#include <string>

#include "core/base/fields.h"
#include "core/spec/cluster.h"
#include "core/spec/data_config.h"
#include "core/spec/inference_config.h"
#include "core/spec/lora_config.h"
#include "core/spec/model_config.h"
#include "core/spec/parallel_layout.h"
#include "core/spec/software_config.h"
#include "core/spec/training_config.h"

namespace tera::spec {

enum class LaunchTarget : std::uint8_t { local };

struct LaunchConfig {
  LaunchTarget with = LaunchTarget::local;
  int num_threads = 0;  // per process; 0 = all processors
  bool operator==(const LaunchConfig&) const = default;

  template <class Self, class Visitor>
  static void visit_fields(Self& self, Visitor&& visit) {
    visit(Field{.name = "with", .help = "Where the run starts: local."}, self.with);
    visit(Field{.name = "num_threads",
                .unit = "threads",
                .min = 0,
                .max = 4096,
                .help = "Threads of one process; 0 takes all processors."},
          self.num_threads);
  }
};

struct RunSpec {
  std::string name = "run";
  std::uint64_t seed = 1234;
  ModelConfig model;
  ParallelLayout layout;
  Cluster cluster;
  TrainingConfig training;
  LoraConfig lora;
  SoftwareConfig software;
  DataConfig data;
  LaunchConfig launch;
  InferenceConfig inference;
  bool operator==(const RunSpec&) const = default;

  // Micro-batches each replica runs per step; 0 when the sizes do not divide (validate says so).
  std::int64_t num_micro_batches() const {
    const std::int64_t per_pass = std::int64_t{layout.micro_batch_size} * layout.data_parallel_size;
    return per_pass > 0 && training.global_batch_size % per_pass == 0
               ? training.global_batch_size / per_pass
               : 0;
  }
  // TeraGPT computes another micro-batch while rows of one travel between expert ranks: forwards
  // and backwards of the schedule in pairs.
  bool overlaps_experts() const {
    return software.framework == Framework::teragpt && software.expert_overlap &&
           model.num_experts > 0 && layout.expert_parallel_size > 1 && num_micro_batches() > 1 &&
           (forms_pairs(layout.schedule) || !layout.schedule_file.empty());
  }
  // Schedules that have forwards beside backwards of other micro-batches on every stage. The others
  // have none, or have both of one micro-batch beside each other on the stage of the head.
  static bool forms_pairs(ScheduleKind kind) {
    return kind == ScheduleKind::one_f_one_b || kind == ScheduleKind::interleaved ||
           kind == ScheduleKind::dualpipe_v;
  }
  // What the chunks of a pipeline share, in order: parts before the layers, layers, parts behind.
  // Where the ends count as layers, embedding and head are one part each; each prediction of
  // multi-token prediction has a layer and a head, and the embedding is then left to the first
  // layers, which are dense and light. Source: Megatron-Bridge, deepseek_v3.py, the layouts of 61
  // layers over 4 to 16 stages, as many parts in each.
  struct PipelineParts {
    int before = 0;
    int layers = 0;
    int behind = 0;
    int total() const { return before + layers + behind; }
  };
  PipelineParts pipeline_parts() const {
    PipelineParts parts{.before = 0, .layers = model.num_layers, .behind = 0};
    if (!layout.ends_count_as_layers) return parts;
    parts.before = model.num_mtp_layers > 0 ? 0 : 1;
    parts.behind = 1 + 2 * model.num_mtp_layers;
    return parts;
  }
  std::int64_t tokens_per_step() const {
    return std::int64_t{training.global_batch_size} * training.seq_length;
  }

  // Whether products run at the device's speed for 16-bit numbers: processors compute fp16 in f32.
  bool half_products() const {
    return training.precision != Precision::fp32 &&
           (training.precision != Precision::fp16 || !cluster.device.is_cpu);
  }

  template <class Self, class Visitor>
  static void visit_fields(Self& self, Visitor&& visit) {
    visit(Field{.name = "name", .help = "Name of the run: letters, digits, '-', '_', '.'."},
          self.name);
    visit(Field{.name = "seed",
                .min = 0,
                .max = 9007199254740991.0,
                .help = "Seed of initialisation and data order."},
          self.seed);
    visit(Field{.name = "model", .help = "Architecture."}, self.model);
    visit(Field{.name = "layout", .help = "How the run is spread over ranks."}, self.layout);
    visit(Field{.name = "cluster", .help = "Machines."}, self.cluster);
    visit(Field{.name = "training", .help = "Batch, optimizer, schedule, precision."},
          self.training);
    visit(Field{.name = "lora", .help = "Adapters on trained weights; rank 0 trains the weights."},
          self.lora);
    visit(Field{.name = "software", .help = "What trains the run, where it changes the plan."},
          self.software);
    visit(Field{.name = "data", .help = "Token files."}, self.data);
    visit(Field{.name = "launch", .help = "How it is started."}, self.launch);
    visit(Field{.name = "inference", .help = "How the trained model is to serve."}, self.inference);
  }
};

}  // namespace tera::spec

namespace tera {
template <>
struct EnumNames<spec::LaunchTarget> {
  static constexpr std::array<std::string_view, 1> value = {"local"};
};
}  // namespace tera
