// Megatron-LM: kernels, graphs, messages and recomputation, both ways. Source:
// megatron/training/arguments.py and megatron/core/transformer/transformer_config.py of core_v0.13
// and 0.19; names that changed between them are read in both forms.
#include <algorithm>
#include <sstream>

#include <fmt/format.h>

#include "core/spec/interchange/megatron_table.h"

namespace tera::spec {
namespace {

constexpr Word kImplementations[] = {{"transformer_engine", "true"}, {"local", "false"}};
constexpr Word kBackends[] = {{"auto", "true"},
                              {"flash", "true"},
                              {"fused", "true"},
                              {"unfused", "false"},
                              {"local", "false"}};
constexpr Word kGraphs[] = {{"none", "none"},
                            {"local", "layers"},
                            {"transformer_engine", "layers"},
                            {"full_iteration", "full"}};
constexpr Word kDispatchers[] = {
    {"allgather", "allgather"}, {"alltoall", "alltoall"}, {"flex", "flex"}};
constexpr Word kFlexBackends[] = {{"deepep", "deepep"}, {"hybridep", "hybridep"}};
constexpr Word kGranularity[] = {{"selective", "selective"}, {"full", "full"}};
constexpr double kUsualDropout = 0.1;

using Names = std::vector<std::string>;

// "moe_act layernorm", as the shell has several values of one argument.
Names names_of(Importer& in, std::string_view key) {
  std::istringstream text(in.text(key).value_or(""));
  Names names;
  for (std::string name; text >> name;)
    names.push_back(name);
  return names;
}

Setting names_setting(std::string key, const Names& names) {
  Setting setting = text_setting(std::move(key), fmt::format("{}", fmt::join(names, " ")));
  setting.kind = Setting::Kind::bare;
  return setting;
}

bool among(const Names& names, std::string_view name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

void read_kernels(Importer& in) {
  SoftwareConfig& software = in.spec().software;
  software.compiled = in.word("--transformer-impl", kImplementations).value_or("true") == "true";
  const bool flash = in.flag("--use-flash-attn");
  const auto backend = in.word("--attention-backend", kBackends);
  software.fused_attention = backend ? *backend == "true" : software.compiled || flash;
  if (flash && backend == "false")
    in.error("--attention-backend", "contradicts --use-flash-attn: only one of them can hold",
             "remove one of them");
  software.dropout = false;
  bool one_is_zero = false;
  for (const char* key : {"--hidden-dropout", "--attention-dropout"}) {
    const double share = in.number(key).value_or(kUsualDropout);
    if (share < 0 || share >= 1)
      in.error(key, fmt::format("got {}, expected 0 to less than 1", share));
    software.dropout = software.dropout || share > 0;
    one_is_zero = one_is_zero || share == 0;
  }
  if (software.dropout && one_is_zero)
    in.leave_out(in.number("--hidden-dropout").value_or(kUsualDropout) > 0 ? "--hidden-dropout"
                                                                           : "--attention-dropout",
                 "masks of attention and of residuals are planned, or none");
}

void read_graphs(Importer& in) {
  constexpr const char* kImpl = "--cuda-graph-impl";
  std::string graphs = in.word(kImpl, kGraphs).value_or("none");
  for (const char* old : {"--enable-cuda-graph", "--external-cuda-graph"}) {
    if (!in.flag(old)) continue;
    if (graphs != "none")
      in.error(old, fmt::format("contradicts {}, its name in newer versions", kImpl),
               "remove the older one");
    graphs = "layers";
  }
  const bool older = in.has("--cuda-graph-scope");
  const char* const key = older ? "--cuda-graph-scope" : "--cuda-graph-modules";
  if (older && in.has("--cuda-graph-modules"))
    in.error("--cuda-graph-scope", "contradicts --cuda-graph-modules, its name in newer versions",
             "remove the older one");
  const Names modules = names_of(in, key);
  if (graphs == "none" && !modules.empty())
    in.warning(key, fmt::format("has no effect without {}", kImpl), "remove it");
  if (graphs == "layers" && among(modules, "full_iteration")) graphs = "full";
  const auto of_routing = [](const std::string& name) {
    return name == "moe_router" || name == "moe_preprocess";
  };
  if (graphs == "layers" && !modules.empty() &&
      std::all_of(modules.begin(), modules.end(), of_routing))
    graphs = "routing";
  if (graphs == "layers" && in.spec().model.num_experts > 0 && among(modules, "moe"))
    in.leave_out(key, "the host starts the experts here, unless the whole step is recorded");
  in.spec().software.cuda_graphs = enum_from_name<GraphScope>(graphs).value_or(GraphScope::none);
}

void read_dispatch(Importer& in) {
  constexpr const char* kKind = "--moe-token-dispatcher-type";
  constexpr const char* kBackend = "--moe-flex-dispatcher-backend";
  RunSpec& spec = in.spec();
  spec.software.token_deduplication = spec.software.fused_experts = false;
  if (spec.model.num_experts == 0) return;
  const std::string kind = in.word(kKind, kDispatchers).value_or("allgather");
  const bool deepep = in.flag("--moe-enable-deepep");
  const auto backend = in.word(kBackend, kFlexBackends);
  if (deepep && kind != "flex")
    in.error("--moe-enable-deepep", fmt::format("needs {} flex, got {}", kKind, kind),
             fmt::format("add {} flex", kKind));
  if (deepep && backend == "hybridep")
    in.error(kBackend, "hybridep contradicts --moe-enable-deepep: only one of them can hold",
             "remove one of them");
  if (backend && kind != "flex")
    in.warning(kBackend, fmt::format("has no effect without {} flex", kKind), "remove it");
  spec.software.token_deduplication = kind == "flex";
  spec.software.fused_experts = in.flag("--use-transformer-engine-op-fuser");
  spec.layout.expert_dispatcher =
      kind == "allgather" ? ExpertDispatcher::all_gather : ExpertDispatcher::all_to_all;
}

void read_overlap(Importer& in) {
  constexpr const char* kGather = "--overlap-param-gather";
  const bool gathers = in.flag(kGather);
  const bool shards = in.spec().layout.zero_stage > 0;
  const bool reduces = in.spec().software.gradient_overlap;
  if (gathers && !shards)
    in.error(kGather, "needs --use-distributed-optimizer", "add --use-distributed-optimizer");
  if (gathers && !reduces)
    in.error(kGather, "needs --overlap-grad-reduce", "add --overlap-grad-reduce");
  if (!gathers && shards && reduces)
    in.leave_out(kGather,
                 "without it: weights are gathered beside the passes here, as gradients "
                 "are summed");
}

// What selective recomputation drops in the plan: scores where they are stored, else outputs of
// norms, of experts' activations and of latent attention's up projections.
Names planned_modules(const RunSpec& spec) {
  if (!spec.software.fused_attention) return {"core_attn"};
  Names names = {"layernorm"};
  if (spec.model.num_experts > 0) names.emplace_back("moe_act");
  if (spec.model.attention == AttentionKind::latent) names.emplace_back("mla_up_proj");
  return names;
}

void read_modules(Importer& in) {
  constexpr const char* kKey = "--recompute-modules";
  Names modules = names_of(in, kKey);
  if (!in.has(kKey)) modules = {"core_attn"};
  Names planned = planned_modules(in.spec());
  const bool some = std::any_of(planned.begin(), planned.end(),
                                [&modules](const auto& name) { return among(modules, name); });
  std::sort(modules.begin(), modules.end());
  std::sort(planned.begin(), planned.end());
  if (!some) {
    in.spec().layout.recompute = RecomputeKind::none;
    in.leave_out(kKey, fmt::format("{}: planned without recomputation, which would be of {}",
                                   fmt::join(modules, " "), fmt::join(planned, " ")));
  } else if (modules != planned) {
    in.leave_out(kKey, fmt::format("planned as {}", fmt::join(planned, " ")));
  }
}

// Whole layers, in the words of Megatron-LM before version 3 and of Megatron-DeepSpeed.
bool recomputes_layers(Importer& in) {
  const bool flag = in.flag("--checkpoint-activations");
  const bool method = in.text("--activations-checkpoint-method").has_value();
  if (!flag && !method) return false;
  for (const char* newer : {"--recompute-granularity", "--recompute-activations"}) {
    if (!in.has(newer)) continue;
    in.error(newer,
             fmt::format("contradicts {}, its older form",
                         flag ? "--checkpoint-activations" : "--activations-checkpoint-method"),
             "remove one of them");
  }
  return true;
}

void read_recompute(Importer& in) {
  ParallelLayout& layout = in.spec().layout;
  if (recomputes_layers(in)) {
    layout.recompute = RecomputeKind::full;
    return;
  }
  const auto granularity = in.word("--recompute-granularity", kGranularity);
  const bool short_form = in.flag("--recompute-activations");
  if (granularity && short_form)
    in.error("--recompute-granularity", "contradicts --recompute-activations, which is selective",
             "remove one of them");
  const bool selective = granularity == "selective" || (!granularity && short_form);
  layout.recompute = granularity == "full" ? RecomputeKind::full
                     : selective           ? RecomputeKind::selective
                                           : RecomputeKind::none;
  const auto method = in.text("--recompute-method");
  if (granularity == "full" && !method) {
    in.error("--recompute-granularity", "full needs --recompute-method uniform or block",
             "add --recompute-method uniform --recompute-num-layers 1");
  }
  if (selective && method)
    in.error("--recompute-method", "is for full recomputation, but it is selective", "remove it");
  const std::int64_t layers = in.integer("--recompute-num-layers").value_or(1);
  if (method && (*method == "block" || layers != 1)) {
    in.leave_out(
        "--recompute-num-layers",
        fmt::format("{}: every layer is kept by its input and recomputed alone here", *method));
  }
  if (selective)
    read_modules(in);
  else if (in.has("--recompute-modules"))
    in.leave_out("--recompute-modules", "has no effect without selective recomputation");
}

}  // namespace

void read_megatron_software(Importer& in) {
  in.spec().software.framework = Framework::megatron_lm;
  read_kernels(in);
  read_graphs(in);
  read_dispatch(in);
  read_overlap(in);
  read_recompute(in);
}

void write_megatron_software(const RunSpec& spec, SettingList& out) {
  const SoftwareConfig& software = spec.software;
  if (!software.compiled) {
    out.push_back(text_setting("--transformer-impl", "local"));
    if (software.fused_attention) out.push_back(flag_setting("--use-flash-attn"));
  } else if (!software.fused_attention) {
    out.push_back(text_setting("--attention-backend", "unfused"));
  }
  for (const char* key : {"--attention-dropout", "--hidden-dropout"})
    out.push_back(number_setting(key, software.dropout ? kUsualDropout : 0));
  const bool experts = spec.model.num_experts > 0;
  if (software.cuda_graphs == GraphScope::full) {
    out.push_back(text_setting("--cuda-graph-impl", "local"));
    out.push_back(text_setting("--cuda-graph-scope", "full_iteration"));
  } else if (software.cuda_graphs != GraphScope::none) {
    Names modules = {"moe_router", "moe_preprocess"};
    const bool layers = software.cuda_graphs == GraphScope::layers;
    if (layers) modules.insert(modules.begin(), "attn");
    out.push_back(text_setting("--cuda-graph-impl", "transformer_engine"));
    if (experts || !layers) out.push_back(names_setting("--cuda-graph-scope", modules));
  }
  if (experts) {
    out.push_back(flag_setting("--moe-grouped-gemm"));
    const bool gathers = spec.layout.expert_dispatcher == ExpertDispatcher::all_gather;
    out.push_back(text_setting("--moe-token-dispatcher-type", software.token_deduplication ? "flex"
                                                              : gathers ? "allgather"
                                                                        : "alltoall"));
    if (software.token_deduplication) out.push_back(flag_setting("--moe-enable-deepep"));
    if (software.fused_experts) out.push_back(flag_setting("--use-transformer-engine-op-fuser"));
  }
  if (software.gradient_overlap && spec.layout.zero_stage > 0)
    out.push_back(flag_setting("--overlap-param-gather"));
  if (spec.layout.recompute == RecomputeKind::selective) {
    out.push_back(text_setting("--recompute-granularity", "selective"));
    out.push_back(names_setting("--recompute-modules", planned_modules(spec)));
  } else if (spec.layout.recompute == RecomputeKind::full) {
    out.push_back(text_setting("--recompute-granularity", "full"));
    out.push_back(text_setting("--recompute-method", "uniform"));
    out.push_back(whole_setting("--recompute-num-layers", 1));
  }
}

}  // namespace tera::spec
