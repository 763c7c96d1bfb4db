// A table of published training measurements (resources/validation/published.csv): one row for each
// run somebody measured, with what they say of its model, machine and layout. An empty cell is
// unknown.
#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/error.h"

namespace tera::plan {

struct PublishedRow {
  int line = 0;                   // in the file, 1-based
  std::string id, source, model;  // source: where the measurement was published
  std::optional<int> layers, hidden, ffn_hidden, heads, kv_heads;
  std::string head_dim;               // a number, or words for latent attention
  std::optional<int> vocab, seq_len;  // seq_len in tokens
  std::optional<int> experts, topk, moe_ffn_hidden, shared_experts;
  std::string moe_layer_freq;  // which layers have experts
  std::string gpu;
  std::optional<int> num_gpus, gpus_per_node;
  std::optional<int> tensor, pipeline, virtual_stages, expert, expert_tensor, context, data;
  std::string zero;                              // what is sharded among data-parallel ranks
  std::optional<int> micro_batch, global_batch;  // sequences
  std::string recompute, sequence_parallel, precision, schedule;
  std::optional<double> step_s, tflops_per_gpu, mfu_pct, tokens_per_s_per_gpu, memory_gib;
  std::string inferred_fields;  // columns the table's authors concluded, separated by ';'
  std::string evidence, group, notes;

  bool has_experts() const { return experts.has_value(); }
  // The authors of the table found a mistake in the source and say so in the notes.
  bool is_withdrawn() const { return notes.find("do not use") != std::string::npos; }
  bool infers(std::string_view column) const;
};

struct PublishedTable {
  std::vector<PublishedRow> rows;
  // Problems with line and column, the first 30 or so; the table is worth nothing with any.
  std::vector<Diagnostic> diagnostics;
};

// Columns may stand in any order; all must be there and no others. Problems: a column that is
// missing, unknown or twice there, a row with more or fewer cells than the header, a number that is
// none, a word that has no meaning in its column (published_words.h), sizes that contradict each
// other (TP x PP x CP x DP and num_gpus, heads and TP, batch sizes, experts), an id used twice.
PublishedTable read_published_table(std::string_view text);

}  // namespace tera::plan
