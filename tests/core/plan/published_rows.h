// Rows and tables of published measurements for tests, made up or as in resources/validation.
#pragma once
#include <fstream>
#include <iterator>
#include <map>
#include <string>

#include <gtest/gtest.h>

#include "core/base/resources.h"
#include "core/plan/published_spec.h"

namespace tera::plan {

inline std::string published_text() {
  const auto path = resource_path("validation/published.csv");
  EXPECT_TRUE(path) << path.error().message;
  std::ifstream stream(*path);
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

inline std::string published_header() {
  static const std::string text = published_text();
  return text.substr(0, text.find_first_of("\r\n")) + "\n";
}

// A table of one row: GPT on 8 A100, every cell given, but for those named here.
inline std::string table_with(const std::map<std::string, std::string>& changes) {
  std::map<std::string, std::string> cells = {{"id", "row-1"},
                                              {"source", "made up"},
                                              {"model", "GPT 1B"},
                                              {"layers", "4"},
                                              {"hidden", "1024"},
                                              {"ffn_hidden", "4096"},
                                              {"heads", "16"},
                                              {"kv_heads", "16"},
                                              {"head_dim", "64"},
                                              {"vocab", "51200"},
                                              {"seq_len", "1024"},
                                              {"gpu", "A100-80GB-SXM"},
                                              {"num_gpus", "8"},
                                              {"gpus_per_node", "8"},
                                              {"TP", "2"},
                                              {"PP", "2"},
                                              {"VPP", "1"},
                                              {"EP", "1"},
                                              {"CP", "1"},
                                              {"DP", "2"},
                                              {"zero_distopt", "none"},
                                              {"micro_batch", "2"},
                                              {"global_batch", "32"},
                                              {"recompute", "full"},
                                              {"sequence_parallel", "no"},
                                              {"precision", "fp16 mixed"},
                                              {"pp_schedule", "1F1B"},
                                              {"step_time_s", "0.5"},
                                              {"group", "MADE-UP"}};
  for (const auto& [column, text] : changes)
    cells[column] = text;
  const std::string header = published_header();
  std::string row;
  for (std::size_t at = 0; at < header.size();) {
    const std::size_t end = header.find_first_of(",\n", at);
    row += "\"" + cells[header.substr(at, end - at)] + "\"" + header[end];
    at = end + 1;
  }
  return header + row;
}

inline PublishedRow row_with(const std::map<std::string, std::string>& changes) {
  const PublishedTable table = read_published_table(table_with(changes));
  for (const Diagnostic& d : table.diagnostics)
    ADD_FAILURE() << d.field << ": " << d.message;
  return table.rows.empty() ? PublishedRow{} : table.rows.front();
}

inline const PublishedPresets& published_presets() {
  static const Result<PublishedPresets> presets = load_published_presets();
  EXPECT_TRUE(presets) << presets.error().message;
  return *presets;
}

}  // namespace tera::plan
