#include "core/plan/published_model.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>
#include <optional>
#include <string_view>
#include <utility>

#include "core/plan/estimate.h"
#include "core/plan/published_families.h"
#include "core/plan/published_recipes.h"
#include "core/plan/published_words.h"
#include "core/spec/presets.h"

namespace tera::plan {
namespace {

using spec::ModelConfig;
using Change = FamilyChange;

class ModelReader {
 public:
  ModelReader(const PublishedRow& row,
              const PublishedFamily& family,
              ModelConfig base,
              int tensor_size)
      : row_(row), family_(family), model_(std::move(base)), tensor_size_(tensor_size) {}

  PublishedModels read() {
    // ALiBi has no weights and next to no time; neither has rotary, its stand-in.
    if (!is_gpt()) model_.position = spec::PositionKind::rotary;
    dim("layers", row_.layers, &ModelConfig::num_layers);
    dim("hidden", row_.hidden, &ModelConfig::hidden_size);
    vocabulary();
    experts();
    feed_forward();
    change();
    result_.candidates = {model_};
    heads();
    if (family_.change == Change::maybe_prediction) {
      std::vector<ModelConfig> without = result_.candidates;
      for (ModelConfig& model : without)
        model.num_mtp_layers = 0;
      result_.candidates.insert(result_.candidates.end(), without.begin(), without.end());
      keep_counted();
      if (result_.candidates.size() > 1) result_.guessed.emplace_back("multi-token prediction");
    }
    if (!result_.undetermined.empty()) result_.candidates.clear();
    return std::move(result_);
  }

 private:
  void dim(const char* column, const std::optional<int>& cell, int ModelConfig::*member) {
    if (cell) {
      model_.*member = *cell;
    } else {
      (family_.has_dims ? result_.guessed : result_.undetermined).emplace_back(column);
    }
  }

  bool is_gpt() const { return family_.prefix.substr(0, 3) == "GPT"; }
  void missing(const char* column) { result_.undetermined.emplace_back(column); }

  void vocabulary() {
    if (row_.vocab || family_.has_dims) return dim("vocab", row_.vocab, &ModelConfig::vocab_size);
    if (family_.words == 0) return dim("vocab", row_.vocab, &ModelConfig::vocab_size);
    const std::int64_t multiple = std::int64_t{128} * tensor_size_;
    model_.vocab_size = static_cast<int>(std::min<std::int64_t>(
        (family_.words + multiple - 1) / multiple * multiple, std::numeric_limits<int>::max()));
    result_.guessed.emplace_back("vocab");
  }

  void experts() {
    if (!row_.experts) {
      if (!family_.has_dims) model_.num_experts = 0;
      return;
    }
    dim("experts", row_.experts, &ModelConfig::num_experts);
    dim("topk", row_.topk, &ModelConfig::router_top_k);
    if (family_.has_dims && !row_.moe_ffn_hidden) {
      result_.guessed.emplace_back("moe_ffn_hidden");
      return;
    }
    dim("moe_ffn_hidden", row_.moe_ffn_hidden, &ModelConfig::moe_ffn_hidden_size);
    dim("shared_experts", row_.shared_experts, &ModelConfig::num_shared_experts);
    if (const auto dense = dense_layers_word(row_.moe_layer_freq)) {
      model_.num_dense_layers = *dense;
      model_.moe_layer_interval = 1;
    } else {
      missing("moe_layer_freq");
    }
    if (drops_tokens(row_)) {
      model_.expert_capacity_factor = 1;
      model_.capacity_pad = true;
    }
    // Groups of experts that a row with fewer experts no longer has.
    if (model_.num_experts % model_.router_num_groups != 0) model_.router_num_groups = 1;
  }

  void feed_forward() {
    if (row_.ffn_hidden) {
      model_.ffn_hidden_size = *row_.ffn_hidden;
    } else if (is_gpt()) {  // Brown et al. 2020, section 2.1
      model_.ffn_hidden_size = 4 * model_.hidden_size;
      result_.guessed.emplace_back("ffn_hidden");
    } else if (model_.num_moe_layers(model_.num_layers) < model_.num_layers) {
      dim("ffn_hidden", row_.ffn_hidden, &ModelConfig::ffn_hidden_size);
    }
  }

  void change() {
    switch (family_.change) {
      case Change::none:
      case Change::maybe_prediction:
        return;
      case Change::no_biases:
        model_.attention_bias = spec::AttentionBias::none;
        model_.ffn_bias = false;
        return;
      case Change::squared_relu:  // Parmar et al. 2024, Nemotron-4 15B, section 2
        model_.activation = spec::ActivationKind::relu_squared;
        model_.norm = spec::NormKind::layer;
        return;
      case Change::parallel_block:  // Jiang et al. 2024, MegaScale, section 3.1
        model_.parallel_residual = true;
        result_.guessed.emplace_back("attention window");  // its size is not published
        return;
      case Change::no_prediction:
        model_.num_mtp_layers = 0;
        return;
      case Change::tied_if_narrow:
        model_.tie_embeddings = model_.ffn_hidden_size < 10000;
        return;
    }
  }

  // Sets heads, key-value heads and head dim of all candidates; unknown heads are as wide as two
  // published choices, 128 and hidden / 64.
  void heads() {
    if (row_.head_dim == kLatentWithoutDims) return missing("head_dim");
    const bool latent = row_.head_dim == kLatentDims;
    if (latent != (model_.attention == spec::AttentionKind::latent)) {
      return missing("head_dim");
    }
    std::vector<int> choices;
    if (row_.heads) {
      choices = {*row_.heads};
    } else if (family_.usual_heads > 0) {
      choices = {family_.usual_heads};
      result_.guessed.emplace_back("heads");
    } else if (family_.has_dims) {
      choices = {model_.num_attention_heads};
      result_.guessed.emplace_back("heads");
    } else if (row_.hidden && family_.has_dense_attention) {
      for (const int count : {*row_.hidden / 128, 64}) {
        const bool divides = count > 0 && *row_.hidden % count == 0 && count % tensor_size_ == 0;
        if (divides && std::find(choices.begin(), choices.end(), count) == choices.end())
          choices.push_back(count);
      }
      result_.guessed.emplace_back("heads");
    }
    if (choices.empty()) return missing("heads");
    result_.candidates.clear();
    for (const int count : choices) {
      ModelConfig model = model_;
      model.num_attention_heads = count;
      if (row_.kv_heads) {
        model.num_key_value_heads = *row_.kv_heads;
      } else if (family_.has_dense_attention) {
        model.num_key_value_heads = count;
      } else if (!family_.has_dims) {
        return missing("kv_heads");
      }
      if (!latent) set_head_dim(model);
      result_.candidates.push_back(model);
    }
  }

  // Rows with both flops and tokens say how many flops a token has, and so whether prediction was
  // among them: it is 4 % of DeepSeek-V3.
  void keep_counted() {
    if (!row_.tflops_per_gpu || !row_.tokens_per_s_per_gpu) return;
    const double counted = *row_.tflops_per_gpu * 1e12 / *row_.tokens_per_s_per_gpu;
    constexpr double kAlike = 0.015;
    std::vector<ModelConfig> alike;
    for (const ModelConfig& model : result_.candidates) {
      const double flops = train_flops_per_token(model, model.max_position_embeddings);
      if (std::abs(flops / counted - 1) < kAlike) alike.push_back(model);
    }
    if (!alike.empty()) result_.candidates = std::move(alike);
  }

  void set_head_dim(ModelConfig& model) {
    const std::string& text = row_.head_dim;
    if (!text.empty()) {
      int value = 0;
      std::from_chars(text.data(), text.data() + text.size(), value);
      model.head_dim = value;
    } else if (model.hidden_size % model.num_attention_heads == 0) {
      model.head_dim = model.hidden_size / model.num_attention_heads;
    } else {
      missing("head_dim");
    }
  }

  const PublishedRow& row_;
  const PublishedFamily& family_;
  ModelConfig model_;
  int tensor_size_;
  PublishedModels result_;
};

}  // namespace

Result<FamilyPresets> load_family_presets() {
  FamilyPresets presets;
  for (const PublishedFamily& family : families()) {
    if (family.preset.empty() || presets.find(family.preset) != presets.end()) continue;
    TERA_TRY(const spec::ModelPreset preset, spec::model_preset(family.preset));
    presets.emplace(family.preset, preset.model);
  }
  return presets;
}

std::optional<int> usual_seq_length(std::string_view model) {
  const PublishedFamily* const family = family_of(model, {});
  if (family == nullptr || family->seq_length == 0) return std::nullopt;
  return family->seq_length;
}

PublishedModels published_models(const PublishedRow& row,
                                 const FamilyPresets& presets,
                                 int seq_length,
                                 int tensor_size) {
  const PublishedFamily* const family = family_of(row.model, row.group);
  PublishedModels none;
  if (family == nullptr) {
    none.undetermined = {"model"};
    return none;
  }
  if (!family->not_modelled.empty()) {
    none.not_modelled = family->not_modelled;
    return none;
  }
  spec::ModelConfig base = presets.find(family->preset)->second;
  base.max_position_embeddings = seq_length;
  PublishedRow filled = row;
  std::vector<std::string> guessed;
  const auto fill = [&guessed](std::optional<int>& cell, int dim, const char* column) {
    if (cell || dim == 0) return;
    cell = dim;
    guessed.emplace_back(column);
  };
  fill(filled.layers, family->dims.layers, "layers");
  fill(filled.hidden, family->dims.hidden, "hidden");
  fill(filled.heads, family->dims.heads, "heads");
  fill(filled.ffn_hidden, family->dims.ffn, "ffn_hidden");
  PublishedModels models = ModelReader(filled, *family, std::move(base), tensor_size).read();
  models.guessed.insert(models.guessed.end(), guessed.begin(), guessed.end());
  return models;
}

}  // namespace tera::plan
