// config.json of the transformers library -> ModelConfig.
#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "core/base/json_read.h"
#include "core/spec/hugging_face_read.h"
#include "core/spec/import.h"
#include "core/spec/suggest.h"
#include "core/spec/validate.h"

namespace tera::spec {
namespace {

using nlohmann::json;
using Settings = ForeignSettings;

constexpr JsonLimits kLimits = {.max_bytes = 1 << 20, .max_depth = 16, .unique_keys = true};

// Keys of the library itself, of tokenizers and of generation.
void ignore_common(Settings& s) {
  s.ignore({"architectures",
            "model_type",
            "torch_dtype",
            "dtype",
            "transformers_version",
            "use_cache",
            "bos_token_id",
            "eos_token_id",
            "pad_token_id",
            "_name_or_path",
            "_attn_implementation",
            "_attn_implementation_autoset",
            "attn_implementation",
            "output_attentions",
            "output_hidden_states",
            "output_router_logits",
            "return_dict",
            "pretraining_tp",
            "id2label",
            "label2id",
            "auto_map",
            "task_specific_params",
            "is_decoder",
            "is_encoder_decoder",
            "use_bfloat16",
            "tokenizer_class",
            "num_labels",
            "problem_type",
            "chunk_size_feed_forward",
            "torchscript",
            "classifier_dropout"});
}

// The balance loss of the library pools all layers and is top-k when the load is even; ours is 1
// then and summed over the layers.
double aux_coeff_scale(const ModelConfig& m) {
  return double{1} * m.router_top_k / std::max(1, m.num_moe_layers(m.num_layers));
}

using Read = void (*)(Settings&, ModelConfig&);
constexpr std::array<Read, EnumNames<HuggingFaceFamily>::value.size()> kRead = {
    hugging_face::read_gpt2,        hugging_face::read_gpt_neox,  hugging_face::read_llama,
    hugging_face::read_mistral,     hugging_face::read_qwen2,     hugging_face::read_qwen3,
    hugging_face::read_olmo2,       hugging_face::read_mixtral,   hugging_face::read_olmoe,
    hugging_face::read_qwen2_moe,   hugging_face::read_qwen3_moe, hugging_face::read_deepseek_v2,
    hugging_face::read_deepseek_v3, hugging_face::read_grok_1};

void read_quantization(Settings& s, int& fp8_block_size) {
  if (!s.has("quantization_config")) return s.ignore({"quantization_config"});
  Settings q = s.object("quantization_config");
  const std::string method = q.text("quant_method", "");
  const json block = q.values().value("weight_block_size", json());
  if (method != "fp8" || q.text("fmt", "e4m3") != "e4m3" || !block.is_array() ||
      block.size() != 2 || !block[0].is_number_unsigned() || block[0] != block[1] ||
      block[0].get<std::uint64_t>() < 1 || block[0].get<std::uint64_t>() > 65536) {
    s.error(
        "quantization_config",
        fmt::format("{} is not a quantisation the engine reads", q.values().dump().substr(0, 100)),
        "fp8 e4m3 with square weight blocks is; otherwise take the unquantised files");
    return;
  }
  fp8_block_size = block[0].get<int>();
}

void check_architectures(Settings& s) {
  const auto names = s.values().find("architectures");
  if (names == s.values().end() || !names->is_array() || names->empty()) return;
  for (const json& name : *names) {
    const std::string text = name.is_string() ? name.get<std::string>() : name.dump();
    if (text.ends_with("ForCausalLM") || text.ends_with("LMHeadModel")) return;
  }
  s.error("architectures", fmt::format("{}, expected a model with a language-model head",
                                       names->dump().substr(0, 80)));
}

// Ranges of the fields and the rules of the architecture, in our words.
void check_result(const ModelConfig& model, std::vector<Diagnostic>& diagnostics) {
  RunSpec spec;
  spec.model = model;
  for (Diagnostic& d : validate(spec)) {
    if (d.severity == Severity::error && d.field.starts_with("model"))
      diagnostics.push_back(std::move(d));
  }
}

}  // namespace

HuggingFaceConfig parse_hugging_face_config(std::string_view text) {
  HuggingFaceConfig config;
  const auto refuse = [&](std::string field, std::string message, std::string hint = {}) {
    config.diagnostics.push_back({.severity = Severity::error,
                                  .field = std::move(field),
                                  .message = std::move(message),
                                  .hint = std::move(hint)});
    return config;
  };
  const Result<json> parsed = parse_json(text, kLimits);
  if (!parsed) return refuse("", parsed.error().message);
  if (!parsed->is_object()) return refuse("", "got no object, expected the model's settings");
  Settings s(*parsed, "", config.diagnostics);
  const std::string type = s.text("model_type", "");
  const auto& names = EnumNames<HuggingFaceFamily>::value;
  const std::optional<HuggingFaceFamily> family = enum_from_name<HuggingFaceFamily>(type);
  if (!family) {
    return refuse("model_type",
                  type.empty() ? "is missing"
                               : fmt::format("\"{}\" is not an architecture the engine has",
                                             type.substr(0, 60)),
                  fmt::format("it has {}", one_of({names.begin(), names.end()})));
  }
  config.family = *family;
  ignore_common(s);
  check_architectures(s);
  kRead[static_cast<std::size_t>(*family)](s, config.model);
  config.rope_interleaved =
      config.model.attention == AttentionKind::latent && s.flag("rope_interleave", true);
  read_quantization(s, config.fp8_block_size);
  s.report_unknown();
  if (config.ok()) {
    check_result(config.model, config.diagnostics);
    if (config.ok() && config.model.num_experts > 0 &&
        config.model.attention != AttentionKind::latent) {
      config.model.aux_loss_coeff *= aux_coeff_scale(config.model);
    }
  }
  return config;
}

}  // namespace tera::spec
