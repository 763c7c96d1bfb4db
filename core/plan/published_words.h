// What the words in the columns of published.csv mean to the planner. Every word that occurs has a
// line; what a spec cannot express says so instead of being replaced by something near it.
#pragma once
#include <optional>
#include <string_view>
#include <vector>

#include "core/spec/parallel_layout.h"
#include "core/spec/training_config.h"

namespace tera::plan {

// head_dim of latent attention: with its dims (those of DeepSeek-V3), or without.
inline constexpr std::string_view kLatentDims =
    "MLA(q_lora 1536,kv_lora 512,qk_nope 128,qk_rope 64,v 128)";
inline constexpr std::string_view kLatentWithoutDims = "MLA";

// A column's words, for messages; empty for a column that holds other text.
std::vector<std::string_view> published_words(std::string_view column);

// Each is empty for a word that the column does not have. `not_modelled` says why no spec has it.
struct PrecisionWord {
  spec::Precision precision = spec::Precision::bf16;
  std::string_view not_modelled;
};
std::optional<PrecisionWord> precision_word(std::string_view word);

struct ShardingWord {
  int zero_stage = 0;
  bool within_node = false;  // what is sharded; a copy of it in each node
};
std::optional<ShardingWord> sharding_word(std::string_view word);

// Several kinds: what was recomputed lies between them, or is one of them.
std::optional<std::vector<spec::RecomputeKind>> recompute_word(std::string_view word);

// The name that specs have, or would have, for the schedule.
std::optional<std::string_view> schedule_word(std::string_view word);

// Leading layers without experts; all others have them.
std::optional<int> dense_layers_word(std::string_view word);

// Preset in resources/clusters, and the network of a node where the row's source says another.
struct DeviceWord {
  std::string_view cluster;
  double network_bytes_per_s = 0;  // per device and direction; 0 = the preset's
  bool network_measured = false;   // by messages, not from a data sheet: all of it is reached
  bool network_known = true;       // else the preset's is a guess
  bool has_8_bit_products = true;  // else an unknown precision is a 16-bit one
};
// Some machines are the same but for the network of a group of rows.
std::optional<DeviceWord> device_word(std::string_view word, std::string_view group);

}  // namespace tera::plan
