// Names and defaults: torchtitan/config/job_config.py, components/quantization and
// distributed/tensor_parallel.py of 0.2; [float8], [mx] and training.compile are those of 0.1.
#include "core/spec/interchange/torchtitan_software.h"

#include <algorithm>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace tera::spec {
namespace {

constexpr const char* kConverters = "model.converters";
constexpr const char* kOffload = "training.enable_cpu_offload";
constexpr const char* kSelected = "activation_checkpoint.selective_ac_option";
constexpr Word kMxRecipes[] = {
    {"mxfp8", "mxfp8"}, {"mxfp8_cublas", "mxfp8"}, {"mxfp8_emulated", "mxfp8"}};
constexpr Word kFloatRecipes[] = {
    {"tensorwise", "tensor"}, {"rowwise", "row"}, {"rowwise_with_gw_hp", "row"}};

std::vector<std::string> texts_of(Importer& in, const char* key) {
  std::vector<std::string> texts;
  for (const auto& item : nlohmann::json::parse(in.list(key).value_or("[]"), nullptr, false)) {
    if (item.is_string()) texts.push_back(item.get<std::string>());
  }
  return texts;
}

Setting list_setting(std::string key, const std::vector<std::string>& texts) {
  Setting setting = text_setting(std::move(key), nlohmann::json(texts).dump());
  setting.kind = Setting::Kind::list;
  return setting;
}

bool among(const std::vector<std::string>& texts, std::string_view text) {
  return std::find(texts.begin(), texts.end(), text) != texts.end();
}

void read_compilation(Importer& in) {
  SoftwareConfig& software = in.spec().software;
  const bool old = in.flag("training.compile");
  const bool enabled = in.has("compile.enable") ? in.flag("compile.enable") : old;
  if (in.has("training.compile") && old != enabled)
    in.error("training.compile", "contradicts compile.enable, its name in newer versions",
             "remove the older one");
  std::vector<std::string> components = texts_of(in, "compile.components");
  if (!in.has("compile.components")) components = {"model", "loss"};
  software.compiled = enabled && among(components, "model");
  software.fused_cross_entropy = enabled && among(components, "loss");
  if (software.tensor_overlap && !software.compiled) {
    in.error("parallelism.enable_async_tensor_parallel",
             "needs a compiled model, and compile.enable is not true with 'model' in "
             "compile.components",
             "set compile.enable to true");
  }
}

void read_products(Importer& in) {
  RunSpec& spec = in.spec();
  bool float8 = false;
  bool mx = false;
  bool experts = false;
  for (const std::string& name : texts_of(in, kConverters)) {
    const bool is_float8 = name == "float8" || name.ends_with(".float8");
    const bool is_mx = name == "mx" || name.ends_with(".mx");
    if (!is_float8 && !is_mx) in.leave_out(kConverters, fmt::format("{} is not known here", name));
    float8 = float8 || is_float8;
    mx = mx || is_mx;
    experts = experts || name.starts_with("quantize.grouped_mm.");
  }
  if (float8 && mx) {
    return in.error(kConverters, "float8 contradicts mx: only one of them can hold",
                    "remove one of them");
  }
  const bool newer = in.has("quantize.linear.float8.recipe_name");
  const char* const recipe = newer ? "quantize.linear.float8.recipe_name" : "float8.recipe_name";
  const std::string scales = in.word(recipe, kFloatRecipes).value_or("tensor");
  const bool newer_mx = in.has("quantize.linear.mx.recipe_name");
  static_cast<void>(
      in.word(newer_mx ? "quantize.linear.mx.recipe_name" : "mx.recipe_name", kMxRecipes));
  if (!float8 && !mx) return;
  if (spec.training.precision != Precision::bf16) {
    return in.error(kConverters,
                    fmt::format("products in 8 bits need training.mixed_precision_param bfloat16, "
                                "got {}",
                                enum_name(spec.training.precision)),
                    "set training.mixed_precision_param to bfloat16");
  }
  spec.training.precision = mx ? Precision::mxfp8 : Precision::fp8_tensor;
  if (float8 && scales == "row")
    in.leave_out(recipe, "a scale for each row: planned with one for each tensor");
  if (spec.model.num_experts > 0 && !experts)
    in.leave_out(kConverters, "products of experts have as few bits as the others here");
}

}  // namespace

void read_torchtitan_software(Importer& in) {
  RunSpec& spec = in.spec();
  SoftwareConfig& software = spec.software;
  software.framework = Framework::torchtitan;
  software.fused_attention = true;
  software.dropout = false;
  software.cuda_graphs = GraphScope::none;
  software.gradient_overlap = true;
  software.token_deduplication = software.expert_overlap = software.fused_experts = false;
  spec.training.gradient_precision = GradientPrecision::fp32;
  spec.training.moment_precision = MomentPrecision::fp32;
  read_compilation(in);
  read_products(in);
  const std::string selected = in.text(kSelected).value_or("2");
  if (spec.layout.recompute == RecomputeKind::selective && selected != "op")
    in.leave_out(kSelected, "outputs are kept by operation here, in every layer");
  Offload& offload = spec.layout.offload;
  offload = {};
  if (!in.flag(kOffload)) return;
  if (spec.layout.zero_stage == 0) {
    return in.warning(kOffload,
                      "has no effect without parallelism.data_parallel_shard_degree above 1",
                      "remove it, or share weights out among replicas");
  }
  offload.weights = offload.gradients = offload.optimizer = OffloadTier::host;
}

void write_torchtitan_software(const RunSpec& spec, SettingList& out) {
  const SoftwareConfig& software = spec.software;
  std::vector<std::string> components;
  if (software.compiled) components.emplace_back("model");
  if (software.fused_cross_entropy) components.emplace_back("loss");
  out.push_back(boolean_setting("compile.enable", !components.empty()));
  if (!components.empty()) out.push_back(list_setting("compile.components", components));
  const bool mx = spec.training.precision == Precision::mxfp8;
  if (mx || spec.training.precision == Precision::fp8_tensor) {
    const std::string kind = mx ? "mx" : "float8";
    std::vector<std::string> converters = {"quantize.linear." + kind};
    if (spec.model.num_experts > 0) {
      converters.push_back("quantize.grouped_mm." + kind);
      out.push_back(list_setting("quantize.grouped_mm." + kind + ".fqns", {"experts"}));
    }
    out.push_back(list_setting(kConverters, converters));
    out.push_back(list_setting("quantize.linear." + kind + ".filter_fqns", {"output"}));
    if (!mx) out.push_back(text_setting("quantize.linear.float8.recipe_name", "tensorwise"));
  }
  if (spec.layout.recompute == RecomputeKind::selective)
    out.push_back(text_setting(kSelected, "op"));
  const Offload& offload = spec.layout.offload;
  constexpr OffloadTier kHost = OffloadTier::host;
  if (offload.weights == kHost && offload.gradients == kHost && offload.optimizer == kHost)
    out.push_back(boolean_setting(kOffload, true));
}

}  // namespace tera::spec
