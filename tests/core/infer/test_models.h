// A tokenizer and models for tests, small enough to know what they say.
#pragma once
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>

#include <nlohmann/json.hpp>

#include "core/base/thread_pool.h"
#include "core/data/tokenizer.h"
#include "core/nn/model.h"
#include "core/tensor/cpu_backend.h"

namespace tera::infer::test {

inline constexpr std::int32_t kEndOfDocument = 256;
inline constexpr std::int32_t kNumTokens = 257;

// One token per byte, written as in byte-level BPE files, and the end of a document.
inline data::Tokenizer byte_tokenizer(bool with_end = true, data::SpecialTokens special = {}) {
  nlohmann::json vocab = nlohmann::json::object();
  int next = 256;
  for (int byte = 0; byte < 256; ++byte) {
    const bool printable =
        (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
    const int point = printable ? byte : next++;
    std::string text;
    if (point < 128) {
      text = static_cast<char>(point);
    } else {
      text = {static_cast<char>(0xC0 | (point >> 6)), static_cast<char>(0x80 | (point & 0x3F))};
    }
    vocab[text] = byte;
  }
  nlohmann::json root = {
      {"version", "1.0"},
      {"added_tokens", nlohmann::json::array()},
      {"normalizer", nullptr},
      {"pre_tokenizer", {{"type", "ByteLevel"}, {"add_prefix_space", false}, {"use_regex", true}}},
      {"decoder", {{"type", "ByteLevel"}}},
      {"model", {{"type", "BPE"}, {"vocab", vocab}, {"merges", nlohmann::json::array()}}}};
  if (with_end) {
    root["added_tokens"].push_back(
        {{"id", kEndOfDocument}, {"content", "<|endoftext|>"}, {"special", true}});
  }
  const Result<data::Tokenizer> tokenizer = data::Tokenizer::parse(root.dump(), std::move(special));
  if (!tokenizer) throw std::runtime_error(tokenizer.error().message);
  return *tokenizer;
}

// A model with random weights, so that every token of a text depends on all before it.
struct RandomModel {
  RandomModel(bool moe,
              DType dtype,
              int num_threads = 1,
              spec::RouterChoice choice = spec::RouterChoice::token)
      : pool(num_threads) {
    config.num_layers = 2;
    config.hidden_size = 32;
    config.num_attention_heads = 4;
    config.num_key_value_heads = 2;
    config.head_dim = 8;
    config.ffn_hidden_size = 48;
    config.vocab_size = 260;
    config.max_position_embeddings = 80;
    config.init_std = 0.2;
    if (moe) {
      config.num_experts = 6;
      config.router_top_k = 2;
      config.moe_ffn_hidden_size = 16;
      config.router_choice = choice;
    }
    params.emplace(*backend, plan::make_param_table(config),
                   nn::ParamStoreOptions{.compute = dtype, .gradients = false});
    nn::init_params(*params, config, 3);
    model.emplace(config, *params);
  }

  ThreadPool pool;
  std::unique_ptr<Backend> backend = make_cpu_backend(pool);
  spec::ModelConfig config;
  std::optional<nn::ParamStore> params;
  std::optional<nn::Model> model;
};

}  // namespace tera::infer::test
