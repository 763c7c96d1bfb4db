// MetricStream: append-only records of a run, one JSON object per line, and a reader that tails
// them with a cursor. Torn last lines are waited for; unknown members are kept out of the way.
//
//   {"time_s":1718.25,"attempt":1,"rank":0,"step":12,"loss":5.21,...,"expert_layers":[1,2],
//    "expert_load":[[..],[..]],"data_chain":"<32 hex>"}
//   NaN and infinities are the strings "NaN", "Infinity", "-Infinity"; numbers read back to the
//   bit.
#pragma once
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
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
  std::int64_t step = 0;                                    // steps completed, 1-based
  std::vector<std::pair<std::string, double>> values = {};  // names from the catalog
  std::vector<std::vector<double>> expert_load = {};        // [layer][expert], MoE layers only
  std::vector<int> expert_layers = {};                      // layer index of each row
  std::string data_chain = {};
  double value(std::string_view name, double missing) const;
  bool has(std::string_view name) const;
  bool operator==(const MetricRecord&) const = default;
};

std::string to_json_line(const MetricRecord& record);  // with '\n'
Result<MetricRecord> parse_json_line(std::string_view line);

class MetricWriter {
 public:
  // Opens for appending. A torn last line, left by a writer that died, is ended first.
  static Result<MetricWriter> open(Vfs& vfs, const std::filesystem::path& file);
  // One append per record: readers see whole lines. An unknown metric name is a ContractError.
  Result<void> write(const MetricRecord& record);
  Result<void> sync();

 private:
  std::unique_ptr<WritableFile> file_;
};

// Reads all attempts of a run in order. Steps delivered rise: a record whose step is not after the
// last one (the run was resumed from a checkpoint) replaces what came before from its step on.
class MetricReader {
 public:
  explicit MetricReader(std::filesystem::path metrics_dir);
  struct Update {
    std::vector<MetricRecord> records;     // new since the last call, in order
    std::int64_t replaced_from_step = -1;  // >= 0: drop what you hold from this step on first
    std::vector<std::string> problems;     // malformed lines: file, line number, reason
  };
  // A directory that does not exist yet has no records.
  Result<Update> poll();

 private:
  struct Cursor {
    int attempt = 0;          // 0: nothing opened yet
    std::int64_t offset = 0;  // of the first byte after the last whole line
    std::int64_t line = 0;    // whole lines before it
    std::string tail{};       // the last bytes before offset: proof that the file is still the same
  };
  Result<void> read_attempt(int attempt, const std::filesystem::path& file, Update& update);
  Result<void> start_over(const std::filesystem::path& file, Update& update);
  void take_line(const std::filesystem::path& file, std::string_view line, Update& update);
  void deliver(MetricRecord record, Update& update);

  std::filesystem::path dir_;
  Cursor cursor_;
  std::int64_t last_step_ = -1;       // of all records delivered
  std::int64_t delivered_step_ = -1;  // of those delivered by earlier polls
};

// The newest record of a run, read from the end of its last attempt with records; absent if none.
Result<std::optional<MetricRecord>> last_record(const std::filesystem::path& metrics_dir);

}  // namespace tera::run
