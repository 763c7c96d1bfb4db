// MetricStream: append-only records of a run, one JSON object per line, and a reader that tails them
// with a cursor. Torn last lines are waited for; unknown members are kept out of the way.
//
//   {"time_s":1718.25,"attempt":1,"rank":0,"step":12,"loss":5.21,...,"expert_load":[[..],[..]],
//    "data_chain":"<32 hex>"}       NaN and infinities are the strings "NaN", "Infinity", "-Infinity"
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/base/result.h"
#include "core/base/vfs.h"

namespace tera::run {

struct MetricRecord {
  double time_s = 0;  // since the epoch
  int attempt = 1;
  int rank = 0;
  std::int64_t step = 0;  // steps completed, 1-based
  std::vector<std::pair<std::string, double>> values;   // names from the catalog
  std::vector<std::vector<double>> expert_load;         // [layer][expert], MoE layers only; may be empty
  std::vector<int> expert_layers;                       // layer index of each row
  std::string data_chain;
  double value(std::string_view name, double missing) const;
  bool has(std::string_view name) const;
};

std::string to_json_line(const MetricRecord& record);        // with '\n'
Result<MetricRecord> parse_json_line(std::string_view line);

class MetricWriter {
 public:
  static Result<MetricWriter> open(Vfs& vfs, const std::filesystem::path& file);  // appends
  // One append per record: readers see whole lines. An unknown metric name is a ContractError.
  Result<void> write(const MetricRecord& record);
  Result<void> sync();

 private:
  std::unique_ptr<WritableFile> file_;
};

// Reads all attempts of a run in order; a record of a later attempt replaces earlier ones from its
// step on (the run was resumed from a checkpoint).
class MetricReader {
 public:
  explicit MetricReader(std::filesystem::path metrics_dir);
  struct Update {
    std::vector<MetricRecord> records;  // new since the last call, in order
    std::int64_t replaced_from_step = -1;  // >= 0: drop what you hold from this step on first
    std::vector<std::string> problems;     // malformed lines: file, line number, reason
  };
  Result<Update> poll();

 private:
  struct Cursor {
    int attempt = 1;
    std::int64_t offset = 0;
    std::int64_t line = 0;
  };
  std::filesystem::path dir_;
  Cursor cursor_;
  std::int64_t last_step_ = 0;
};

}  // namespace tera::run
