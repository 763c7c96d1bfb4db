#include "core/checkpoint/hugging_face_names.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "core/base/check.h"
#include "core/checkpoint/hugging_face_words.h"

namespace tera::checkpoint {
namespace {

using spec::HuggingFaceFamily;
using spec::ModelConfig;
using Words = HuggingFaceWords;
using Parts = std::vector<ForeignTensor>;

// Row j of d rotary rows in halves, from rows in pairs: first the even ones, then the odd ones.
std::int64_t row_in_pairs(std::int64_t j, std::int64_t d) {
  return j < d / 2 ? 2 * j : 2 * (j - d / 2) + 1;
}

// Finds the tensors of one parameter by its name.
class Mapper {
 public:
  Mapper(const ModelConfig& model, HuggingFaceFamily family, bool rope_interleaved)
      : m_(model),
        family_(family),
        words_(hugging_face_words(family)),
        interleaved_(rope_interleaved) {}

  ForeignParam map(const plan::ParamSpec& spec) {
    shape_ = spec.shape;
    ForeignParam param{.spec = spec, .arrangements = {}};
    if (spec.layer < 0) {
      param.arrangements = outside_layers(spec.name);
    } else {
      const std::string prefix = fmt::format("layers.{}.", spec.layer);
      at_ = fmt::format("{}.{}.", words_.layer, spec.layer);
      param.arrangements = in_layer(spec.name.substr(prefix.size()));
    }
    TERA_CHECK(!param.arrangements.empty(), "{} has no name in files of {}", spec.name,
               enum_name(family_));
    if (family_ == HuggingFaceFamily::gpt2) add_without_prefix(param);
    return param;
  }

 private:
  using Arrangements = std::vector<Parts>;

  // The whole parameter under one name.
  Parts whole(std::string name) const { return {part(std::move(name), 0, num_rows())}; }

  std::int64_t num_rows() const {
    std::int64_t rows = 1;
    for (std::size_t i = 0; i + 1 < shape_.size(); ++i)
      rows *= shape_[i];
    return shape_.size() == 1 ? shape_[0] : rows;
  }
  // Rows [row, row + count) of ours, a tensor of its own in the file.
  ForeignTensor part(std::string name, std::int64_t row, std::int64_t count) const {
    ForeignTensor tensor{.name = std::move(name), .shape = shape_, .row = row, .num_rows = count};
    if (count != num_rows()) {
      tensor.shape = {count};
      if (shape_.size() > 1) tensor.shape.push_back(shape_.back());
    }
    return tensor;
  }
  // Parts one behind the other.
  Parts rows(std::vector<std::pair<std::string, std::int64_t>> names_and_counts) const {
    Parts parts;
    std::int64_t row = 0;
    for (auto& [name, count] : names_and_counts) {
      parts.push_back(part(std::move(name), row, count));
      row += count;
    }
    return parts;
  }
  Parts conv1d(std::string name) const {
    Parts parts = whole(std::move(name));
    if (shape_.size() == 2) {
      parts[0].transposed = true;
      std::swap(parts[0].shape[0], parts[0].shape[1]);
    }
    return parts;
  }

  Arrangements outside_layers(const std::string& name) const {
    if (name == "embedding.tokens") return {whole(fmt::format("{}.weight", words_.embedding))};
    if (name == "embedding.positions") return {whole("transformer.wpe.weight")};
    if (name.starts_with("final_norm.")) return norm(words_.final_norm, name.substr(11));
    if (name == "head.weight") {
      Arrangements found = {whole(fmt::format("{}.weight", words_.head))};
      for (const char* other : kHuggingFaceHeads) {
        if (other != found[0][0].name) found.push_back(whole(other));
      }
      return found;
    }
    return {};
  }

  // kind: weight or bias.
  Arrangements norm(std::string_view name, const std::string& kind) const {
    Arrangements found = {whole(fmt::format("{}.{}", name, kind))};
    if (kind == "weight" && words_.norm_weight != kind)
      found.insert(found.begin(), whole(fmt::format("{}.{}", name, words_.norm_weight)));
    return found;
  }

  // name: "attention.qkv.weight"; the last word is weight or bias.
  Arrangements in_layer(const std::string& name) const {
    const std::size_t dot = name.rfind('.');
    const std::string what = name.substr(0, dot);
    const std::string kind = name.substr(dot + 1);
    if (what.starts_with("moe.")) return experts(what.substr(4), kind);
    if (what.starts_with("mtp.")) return prediction(what.substr(4), kind);
    const auto norm_of = [&](std::string_view word) {
      return norm(fmt::format("{}{}", at_, word), kind);
    };
    if (what == "attention.norm") return norm_of(words_.attention_norm);
    if (what == "attention.post_norm") return norm_of(words_.attention_post_norm);
    if (what == "ffn.norm") return norm_of(words_.ffn_norm);
    if (what == "ffn.post_norm") return norm_of(words_.ffn_post_norm);
    if (what == "ffn.in" && words_.ffn_in.empty()) return {gate_and_up("mlp", kind)};
    if (what == "ffn.in") return {linear(fmt::format("{}{}.{}", at_, words_.ffn_in, kind))};
    if (what == "ffn.out") return {linear(fmt::format("{}{}.{}", at_, words_.ffn_out, kind))};
    return attention(what.substr(what.find('.') + 1), kind);
  }

  Parts linear(std::string name) const {
    return family_ == HuggingFaceFamily::gpt2 ? conv1d(std::move(name)) : whole(std::move(name));
  }

  Parts gate_and_up(std::string_view block, const std::string& kind) const {
    return rows({{fmt::format("{}{}.gate_proj.{}", at_, block, kind), num_rows() / 2},
                 {fmt::format("{}{}.up_proj.{}", at_, block, kind), num_rows() / 2}});
  }

  Arrangements attention(const std::string& what, const std::string& kind) const {
    const auto name = [&](std::string_view word) {
      return fmt::format("{}{}.{}.{}", at_, words_.attention, word, kind);
    };
    if (what == "out") return {linear(name(words_.out))};
    if (what == "qkv") return {qkv(name)};
    if (what == "q_norm" || what == "k_norm") return {whole(name(what))};
    if (what == "q_down") return {whole(name("q_a_proj"))};
    if (what == "q_down_norm") return {whole(name("q_a_layernorm"))};
    if (what == "q_up") return {query_heads(name("q_b_proj"))};
    if (what == "q") return {query_heads(name("q_proj"))};
    if (what == "kv_down") return {latent_and_rope(name("kv_a_proj_with_mqa"))};
    if (what == "kv_down_norm") return {whole(name("kv_a_layernorm"))};
    if (what == "kv_up") return {whole(name("kv_b_proj"))};
    return {};
  }

  template <class Name>
  Parts qkv(const Name& name) const {
    const std::int64_t head = m_.head_dim;
    const std::int64_t queries = head * m_.num_attention_heads;
    const std::int64_t keys = head * m_.num_key_value_heads;
    if (family_ == HuggingFaceFamily::gpt2) return conv1d(name("c_attn"));
    if (family_ != HuggingFaceFamily::gpt_neox)
      return rows({{name("q_proj"), queries}, {name("k_proj"), keys}, {name("v_proj"), keys}});
    // GPT-NeoX keeps q, k and v of a head together: [heads, 3, head dim].
    Parts parts = whole(name("query_key_value"));
    for (std::int64_t row = 0; row < num_rows(); ++row) {
      const std::int64_t which = row / queries;
      const std::int64_t in_head = row % queries;
      parts[0].row_order.push_back((in_head / head * 3 + which) * head + in_head % head);
    }
    return parts;
  }

  // Rows per head: [without position | rotary].
  Parts query_heads(std::string name) const {
    const std::int64_t head = m_.qk_head_dim();
    return de_interleaved(std::move(name), head, m_.qk_nope_head_dim);
  }
  Parts latent_and_rope(std::string name) const {
    return de_interleaved(std::move(name), num_rows(), m_.kv_lora_rank);
  }
  // In every group of `period` rows those from `first` on are rotary.
  Parts de_interleaved(std::string name, std::int64_t period, std::int64_t first) const {
    Parts parts = whole(std::move(name));
    for (std::int64_t row = 0; interleaved_ && row < num_rows(); ++row) {
      const std::int64_t in_group = row % period;
      const std::int64_t moved =
          in_group < first ? in_group : first + row_in_pairs(in_group - first, period - first);
      parts[0].row_order.push_back(row - in_group + moved);
    }
    return parts;
  }

  Arrangements experts(const std::string& what, const std::string& kind) const {
    const std::string block = fmt::format("{}{}.", at_, words_.moe);
    const std::string stacked = at_ + "mlp.experts.";  // as the library holds them in memory
    if (what == "router" && kind == "bias") return {whole(block + "gate.e_score_correction_bias")};
    // In files of experts stacked; Grok-1 is not of the library.
    const bool stacks = family_ != HuggingFaceFamily::grok_1;
    if (what == "router") {
      Arrangements found = {whole(block + "gate.weight")};
      if (stacks) found.push_back(whole(at_ + "mlp.gate.weight"));
      return found;
    }
    if (what.starts_with("shared.")) return shared_experts(what.substr(7), kind);
    const bool in = what == "experts.in";
    const std::int64_t rows_each = shape_[1];
    std::vector<std::pair<std::string, std::int64_t>> parts;
    for (std::int64_t e = 0; e < shape_[0]; ++e) {
      const auto name = [&](std::string_view word) {
        return fmt::format("{}experts.{}.{}.weight", block, e, word);
      };
      if (in) {
        parts.emplace_back(name(words_.gate), rows_each / 2);
        parts.emplace_back(name(words_.up), rows_each / 2);
      } else {
        parts.emplace_back(name(words_.down), rows_each);
      }
    }
    Arrangements found = {rows(std::move(parts))};
    if (stacks) found.push_back(whole(stacked + (in ? "gate_up_proj" : "down_proj")));
    return found;
  }

  Arrangements shared_experts(const std::string& what, const std::string& kind) const {
    const std::string block =
        family_ == HuggingFaceFamily::qwen2_moe ? "mlp.shared_expert" : "mlp.shared_experts";
    if (what == "in") return {gate_and_up(block, kind)};
    if (what == "out") return {whole(fmt::format("{}{}.down_proj.{}", at_, block, kind))};
    return {whole(fmt::format("{}{}_gate.{}", at_, block, kind))};
  }

  // What a layer of multi-token prediction has besides.
  Arrangements prediction(const std::string& what, const std::string& kind) const {
    constexpr std::array<std::pair<std::string_view, std::string_view>, 4> kNames = {
        std::pair{"embedding_norm", "enorm"}, std::pair{"hidden_norm", "hnorm"},
        std::pair{"proj", "eh_proj"}, std::pair{"final_norm", "shared_head.norm"}};
    for (const auto& [ours, theirs] : kNames) {
      if (what == ours) return {whole(fmt::format("{}{}.{}", at_, theirs, kind))};
    }
    return {};
  }

  // The published GPT-2 files lack the prefix.
  static void add_without_prefix(ForeignParam& param) {
    Parts bare = param.arrangements[0];
    for (ForeignTensor& tensor : bare) {
      constexpr std::string_view kPrefix = "transformer.";
      if (tensor.name.starts_with(kPrefix)) tensor.name.erase(0, kPrefix.size());
    }
    param.arrangements.push_back(std::move(bare));
  }

  const ModelConfig& m_;
  HuggingFaceFamily family_;
  const Words& words_;
  bool interleaved_;
  std::vector<std::int64_t> shape_;  // of the parameter being mapped
  std::string at_;                   // "model.layers.3."
};

}  // namespace

void visit_hugging_face_params(const ModelConfig& model,
                               HuggingFaceFamily family,
                               bool rope_interleaved,
                               const std::function<bool(const ForeignParam&)>& visit) {
  Mapper mapper(model, family, rope_interleaved);
  for (const plan::ParamSpec& spec : plan::make_param_table(model)) {
    if (!visit(mapper.map(spec))) return;
  }
}

std::vector<ForeignParam> hugging_face_params(const ModelConfig& model,
                                              HuggingFaceFamily family,
                                              bool rope_interleaved) {
  std::vector<ForeignParam> params;
  visit_hugging_face_params(model, family, rope_interleaved, [&params](const ForeignParam& param) {
    params.push_back(param);
    return true;
  });
  return params;
}

bool is_derived_tensor(std::string_view name) {
  constexpr std::array<std::string_view, 6> kEnds = {".rotary_emb.inv_freq",   ".attn.bias",
                                                     ".attn.masked_bias",      ".attention.bias",
                                                     ".attention.masked_bias", ".attn.inv_freq"};
  return std::any_of(kEnds.begin(), kEnds.end(),
                     [name](std::string_view end) { return name.ends_with(end); });
}

std::vector<TensorCopy> hugging_face_copies(const ModelConfig& model, HuggingFaceFamily family) {
  const Words& words = hugging_face_words(family);
  const std::string embedding = fmt::format("{}.weight", words.embedding);
  std::vector<TensorCopy> copies;
  for (const char* head : kHuggingFaceHeads) {
    if (model.tie_embeddings) copies.push_back({head, embedding, false});
  }
  const std::string head = model.tie_embeddings ? embedding : fmt::format("{}.weight", words.head);
  for (int layer = model.num_layers; layer < model.num_all_layers(); ++layer) {
    const std::string at = fmt::format("{}.{}.", words.layer, layer);
    copies.push_back({at + "embed_tokens.weight", embedding, true});
    copies.push_back({at + "shared_head.head.weight", head, true});
  }
  return copies;
}

}  // namespace tera::checkpoint
