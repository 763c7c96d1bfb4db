#include "core/plan/published_spec.h"

#include <algorithm>
#include <functional>
#include <utility>

#include <fmt/format.h>

#include "core/plan/placement.h"
#include "core/plan/published_recipes.h"
#include "core/plan/published_software.h"
#include "core/plan/published_words.h"
#include "core/spec/presets.h"

namespace tera::plan {
namespace {

using spec::ParallelLayout;
using spec::RunSpec;

// Over which the replicas of a stage are spread.
int nodes_of_replicas(const RunSpec& spec) {
  const auto mesh = RankMesh::make(spec.layout);
  if (!mesh) return 1;
  return static_cast<int>(group_shape(mesh->replicas(0, false), spec).num_nodes);
}

class SpecReader {
 public:
  SpecReader(const PublishedRow& row, const PublishedPresets& presets)
      : row_(row), presets_(presets) {}

  PublishedSpecs read() {
    if (row_.is_withdrawn()) {
      return not_modelled("its note says that the source contradicts itself");
    }
    const auto precision = precision_word(row_.precision);
    if (precision && !precision->not_modelled.empty()) return not_modelled(precision->not_modelled);

    const auto usual_length = usual_seq_length(row_.model);
    if (!row_.seq_len && usual_length) guess("seq_len");
    if (!usual_length) need("seq_len", row_.seq_len);
    need("global_batch", row_.global_batch);
    RunSpec spec;
    spec.name = "published";
    spec.training.seq_length = row_.seq_len.value_or(usual_length.value_or(1));
    spec.training.global_batch_size = row_.global_batch.value_or(1);
    if (precision) spec.training.precision = precision->precision;
    if (!set_cluster(spec)) return std::move(result_);
    set_published_software(row_, spec);
    specs_ = {spec};
    set_axes();
    if (!result_.undetermined.empty()) return std::move(result_);
    set_models();
    set_schedule();
    set_batch();
    set_rest();
    for (const std::string_view column : kColumnsOfASpec)
      if (row_.infers(column)) guess(column);
    const bool stopped = !result_.undetermined.empty() || !result_.not_modelled.empty();
    if (!stopped) result_.candidates = std::move(specs_);
    return std::move(result_);
  }

 private:
  // Of those the authors of the table may have concluded: measurements are no part of a spec.
  static constexpr std::string_view kColumnsOfASpec[] = {
      "layers", "hidden", "ffn_hidden", "heads",       "kv_heads",  "vocab",     "seq_len",
      "TP",     "PP",     "VPP",        "micro_batch", "recompute", "precision", "pp_schedule"};

  PublishedSpecs not_modelled(std::string_view why) {
    result_.not_modelled = why;
    return std::move(result_);
  }
  void need(const char* column, const std::optional<int>& cell) {
    if (!cell) result_.undetermined.emplace_back(column);
  }
  void guess(std::string_view column) {
    const auto& all = result_.guessed;
    if (std::find(all.begin(), all.end(), column) == all.end())
      result_.guessed.emplace_back(column);
  }

  // Every spec so far with every value.
  template <class T>
  void each(const std::vector<T>& values, const std::function<void(RunSpec&, const T&)>& set) {
    std::vector<RunSpec> all;
    for (const RunSpec& spec : specs_) {
      for (const T& value : values) {
        all.push_back(spec);
        set(all.back(), value);
      }
    }
    specs_ = std::move(all);
  }

  bool set_cluster(RunSpec& spec) {
    need("num_gpus", row_.num_gpus);
    const auto device = device_word(row_.gpu, row_.group);
    if (!device) result_.undetermined.emplace_back("gpu");
    if (!device || !row_.num_gpus) return false;
    spec.cluster = presets_.clusters.find(device->cluster)->second;
    spec::Cluster& cluster = spec.cluster;
    // Racks hold more devices than jobs take: a job has as many of each as divide it evenly.
    if (*row_.num_gpus > cluster.devices_per_node) {
      while (*row_.num_gpus % cluster.devices_per_node != 0)
        --cluster.devices_per_node;
    }
    cluster.num_nodes = std::max(1, *row_.num_gpus / cluster.devices_per_node);
    if (device->network_bytes_per_s > 0)
      cluster.inter_node.bytes_per_s = device->network_bytes_per_s;
    if (device->network_measured) cluster.inter_node.efficiency = 1;
    if (!device->network_known && cluster.num_nodes > 1) guess("gpu");
    if (row_.precision.empty()) {
      if (device->has_8_bit_products) guess("precision");
      spec.training.precision = spec::Precision::bf16;
    }
    return true;
  }

  void set_axes() {
    need("CP", row_.context);
    need("DP", row_.data);
    if (!row_.context || !row_.data) return;
    const std::int64_t stage_ranks = std::int64_t{*row_.context} * *row_.data;
    std::vector<std::pair<int, int>> sizes;  // tensor, pipeline
    if (row_.tensor && row_.pipeline) {
      sizes = {{*row_.tensor, *row_.pipeline}};
    } else {
      guess("TP");
      guess("PP");
      const int model_ranks = static_cast<int>(*row_.num_gpus / stage_ranks);
      for (const int tensor : {1, 2, 4, 8}) {
        if (row_.tensor.value_or(tensor) != tensor || model_ranks % tensor != 0) continue;
        const int pipeline = model_ranks / tensor;
        const bool fits =
            pipeline <= row_.layers.value_or(pipeline) && row_.heads.value_or(tensor) % tensor == 0;
        if (fits && row_.pipeline.value_or(pipeline) == pipeline)
          sizes.emplace_back(tensor, pipeline);
      }
      if (sizes.empty()) result_.undetermined.emplace_back("PP");
    }
    each<std::pair<int, int>>(sizes, [&](RunSpec& spec, const auto& size) {
      ParallelLayout& layout = spec.layout;
      layout.context_parallel_size = *row_.context;
      layout.data_parallel_size = *row_.data;
      layout.tensor_parallel_size = size.first;
      layout.pipeline_parallel_size = size.second;
    });
  }

  // Layers that divide evenly among chunks only with embedding and head beside them were cut so.
  static bool ends_count(const RunSpec& spec) {
    const int links = spec.layout.pipeline_parallel_size * spec.layout.virtual_stages;
    RunSpec with_ends = spec;
    with_ends.layout.ends_count_as_layers = true;
    return links > 1 && spec.model.num_layers % links != 0 &&
           with_ends.pipeline_parts().total() % links == 0;
  }

  void set_models() {
    std::vector<RunSpec> all;
    for (const RunSpec& spec : specs_) {
      PublishedModels models = published_models(row_, presets_.models, spec.training.seq_length,
                                                spec.layout.tensor_parallel_size);
      result_.not_modelled = models.not_modelled;
      for (const std::string& column : models.guessed)
        guess(column);
      if (!models.undetermined.empty()) result_.undetermined = std::move(models.undetermined);
      for (const spec::ModelConfig& model : models.candidates) {
        all.push_back(spec);
        all.back().model = model;
        all.back().layout.ends_count_as_layers = ends_count(all.back());
        if (model.num_experts == 0) continue;
        all.back().layout.expert_parallel_size = row_.expert.value_or(1);
        all.back().layout.expert_tensor_parallel_size = row_.expert_tensor.value_or(1);
      }
    }
    if (row_.has_experts() && !row_.expert) result_.undetermined.emplace_back("EP");
    specs_ = std::move(all);
  }

  struct Schedule {
    std::string_view name;
    int virtual_stages = 1;
  };

  // What may have run on so many stages; the row says it, or its virtual stages do, or neither.
  std::vector<Schedule> schedules(const RunSpec& spec) {
    const int num_stages = spec.layout.pipeline_parallel_size;
    constexpr std::string_view kInterleaved = "interleaved";
    const std::string_view word = schedule_word(row_.schedule).value_or("");
    const bool several = row_.virtual_stages.value_or(1) > 1;
    const bool turns = word == "zb-v" || word == "v-half" || word == "v-min";
    if (turns) return {{word, 2}};
    if (!word.empty() && word != kInterleaved && !(word == "1f1b" && several)) return {{word}};
    if (several) return {{kInterleaved, *row_.virtual_stages}};
    // The summaries of Megatron-Bridge name them in every row, n/a where there are none.
    const bool none = row_.group == "MBRIDGE" && row_.pipeline;
    if (word.empty() && (row_.virtual_stages || none)) return {{"1f1b"}};
    guess(word.empty() ? "pp_schedule" : "VPP");
    std::vector<Schedule> choices;
    if (word.empty()) choices.push_back({"1f1b"});
    // Two chunks, and as many as there are layers for.
    const int most = spec.pipeline_parts().total() / num_stages;
    if (word == kInterleaved || most > 1) choices.push_back({kInterleaved, 2});
    // torchtitan has two stages per rank where it is not told how to split (pipelining_utils.py).
    if (is_torchtitan(spec)) return choices;
    if (most > 2) choices.push_back({kInterleaved, most});
    return choices;
  }

  void set_schedule() {
    std::string_view unknown;
    std::vector<RunSpec> all;
    for (const RunSpec& spec : specs_) {
      const bool one = spec.layout.pipeline_parallel_size == 1;
      for (const Schedule& choice : one ? std::vector<Schedule>{{"1f1b"}} : schedules(spec)) {
        const auto kind = enum_from_name<spec::ScheduleKind>(choice.name);
        if (!kind) {
          unknown = choice.name;
          continue;
        }
        all.push_back(spec);
        all.back().layout.schedule = *kind;
        all.back().layout.virtual_stages = choice.virtual_stages;
        all.back().layout.ends_count_as_layers = ends_count(all.back());
      }
    }
    if (all.empty() && !unknown.empty()) result_.not_modelled = fmt::format("schedule {}", unknown);
    specs_ = std::move(all);
  }

  static bool is_torchtitan(const RunSpec& spec) {
    return spec.software.framework == spec::Framework::torchtitan;
  }
  static int num_stages(const RunSpec& spec) {
    return spec.layout.pipeline_parallel_size * spec.layout.virtual_stages;
  }

  void set_batch() {
    if (row_.micro_batch) {
      for (RunSpec& spec : specs_)
        spec.layout.micro_batch_size = *row_.micro_batch;
      return;
    }
    guess("micro_batch");
    // torchtitan splits the batch of a replica into as many micro-batches as the pipeline has
    // stages (config_manager.py, experimental.pipeline_parallel_microbatches).
    const std::int64_t replica_batch = *row_.global_batch / *row_.data;
    const bool one_for_each_stage =
        std::all_of(specs_.begin(), specs_.end(), [&](const RunSpec& s) {
          return is_torchtitan(s) && num_stages(s) > 1 && replica_batch % num_stages(s) == 0;
        });
    if (one_for_each_stage) {
      for (RunSpec& spec : specs_)
        spec.layout.micro_batch_size = static_cast<int>(replica_batch / num_stages(spec));
      return;
    }
    std::vector<int> sizes;
    for (const int size : {1, 2, 4, 8}) {
      if (*row_.global_batch % (size * *row_.data) == 0) sizes.push_back(size);
    }
    if (sizes.empty()) result_.undetermined.emplace_back("micro_batch");
    each<int>(sizes, [](RunSpec& spec, int size) { spec.layout.micro_batch_size = size; });
  }

  void set_rest() {
    using enum spec::RecomputeKind;
    std::vector<spec::RecomputeKind> kinds = {none, selective, full};
    const bool says = !row_.recompute.empty();
    auto known = recompute_word(says ? row_.recompute : usual_recompute(row_.group));
    if (!known) known = published_recompute(row_);
    if (known) {
      kinds = *known;
      result_.is_mixture = kinds.size() > 1;
    }
    if (kinds.size() > 1 || !says) guess("recompute");
    each<spec::RecomputeKind>(
        kinds, [](RunSpec& spec, const auto& kind) { spec.layout.recompute = kind; });

    const bool splits = std::any_of(specs_.begin(), specs_.end(), [](const RunSpec& spec) {
      return spec.layout.tensor_parallel_size > 1;
    });
    std::vector<bool> sequence = {row_.sequence_parallel == "yes"};
    // nanotron's name for it; Megatron-LM demands it with experts.
    const bool reduces_scattered = row_.notes.find("TP mode REDUCE_SCATTER") != std::string::npos;
    if (splits && (row_.has_experts() || reduces_scattered)) {
      sequence = {true};
    } else if (splits && row_.sequence_parallel.empty()) {
      sequence = {false, true};
      guess("sequence_parallel");
    }
    each<bool>(sequence, [](RunSpec& spec, const bool& on) {
      spec.layout.sequence_parallel = on && spec.layout.tensor_parallel_size > 1;
    });

    const auto sharding = sharding_word(row_.zero);
    std::vector<ShardingWord> shardings = {sharding.value_or(ShardingWord{})};
    if (!sharding && *row_.data * *row_.context > 1) {
      shardings = {{0}, {1}};
      guess("zero_distopt");
    }
    each<ShardingWord>(shardings, [](RunSpec& spec, const ShardingWord& word) {
      spec.layout.zero_stage = word.zero_stage;
      spec.layout.zero_replicas = word.within_node ? nodes_of_replicas(spec) : 1;
    });
  }

  const PublishedRow& row_;
  const PublishedPresets& presets_;
  std::vector<RunSpec> specs_;
  PublishedSpecs result_;
};

}  // namespace

Result<PublishedPresets> load_published_presets() {
  PublishedPresets presets;
  TERA_TRY(presets.models, load_family_presets());
  for (const std::string_view word : published_words("gpu")) {
    const std::string_view name = device_word(word, {})->cluster;
    if (presets.clusters.find(name) != presets.clusters.end()) continue;
    TERA_TRY(const spec::ClusterPreset preset, spec::cluster_preset(name));
    presets.clusters.emplace(name, preset.cluster);
  }
  return presets;
}

PublishedSpecs published_specs(const PublishedRow& row, const PublishedPresets& presets) {
  return SpecReader(row, presets).read();
}

}  // namespace tera::plan
