#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/run/metric_catalog.h"
#include "core/run/metric_stream.h"

namespace tera::run {
namespace {

using Json = nlohmann::ordered_json;  // members keep their order

constexpr int kMaxLayer = 1 << 20;

// The shortest decimal that reads back to the same bits; a zero keeps its sign.
void append_number(std::string& out, double value) {
  if (std::isnan(value)) {
    out += "\"NaN\"";
  } else if (std::isinf(value)) {
    out += value > 0 ? "\"Infinity\"" : "\"-Infinity\"";
  } else if (value == 0 && std::signbit(value)) {
    out += "-0.0";
  } else {
    fmt::format_to(std::back_inserter(out), "{}", value);
  }
}

std::optional<double> as_number(const Json& value) {
  if (value.is_number()) return value.get<double>();
  if (!value.is_string()) return std::nullopt;
  const auto& text = value.get_ref<const std::string&>();
  if (text == "NaN") return std::numeric_limits<double>::quiet_NaN();
  if (text == "Infinity") return std::numeric_limits<double>::infinity();
  if (text == "-Infinity") return -std::numeric_limits<double>::infinity();
  return std::nullopt;
}

Result<std::int64_t> integer_member(const Json& document,
                                    const char* name,
                                    std::int64_t low,
                                    std::int64_t high) {
  const auto at = document.find(name);
  if (at == document.end()) {
    return fail(ErrorCode::corrupt, fmt::format("member \"{}\" is missing", name));
  }
  const bool fits = at->is_number_integer() &&
                    (!at->is_number_unsigned() || at->get<std::uint64_t>() <= INT64_MAX) &&
                    at->get<std::int64_t>() >= low && at->get<std::int64_t>() <= high;
  if (!fits) {
    return fail(ErrorCode::corrupt, fmt::format("{}: got {}, expected an integer from {} to {}",
                                                name, at->dump(), low, high));
  }
  return at->get<std::int64_t>();
}

Result<std::vector<std::vector<double>>> expert_load_of(const Json& rows) {
  std::vector<std::vector<double>> load;
  const auto malformed = [] {
    return fail(ErrorCode::corrupt, "expert_load: expected an array of arrays of numbers");
  };
  if (!rows.is_array()) return malformed();
  for (const Json& row : rows) {
    if (!row.is_array()) return malformed();
    std::vector<double>& values = load.emplace_back();
    for (const Json& item : row) {
      const std::optional<double> value = as_number(item);
      if (!value) return malformed();
      values.push_back(*value);
    }
  }
  return load;
}

Result<std::vector<int>> expert_layers_of(const Json& document, std::size_t num_rows) {
  std::vector<int> layers;
  const auto at = document.find("expert_layers");
  if (at == document.end() || !at->is_array() || at->size() != num_rows) {
    return fail(ErrorCode::corrupt, fmt::format("expert_layers: expected {} layer indices, one for "
                                                "each row of expert_load",
                                                num_rows));
  }
  for (const Json& item : *at) {
    const std::optional<double> layer = as_number(item);
    if (!item.is_number_integer() || !(*layer >= 0 && *layer <= kMaxLayer)) {
      return fail(ErrorCode::corrupt,
                  fmt::format("expert_layers: expected integers from 0 to {}", kMaxLayer));
    }
    layers.push_back(item.get<int>());
  }
  return layers;
}

}  // namespace

double MetricRecord::value(std::string_view name, double missing) const {
  for (const auto& [key, value] : values) {
    if (key == name) return value;
  }
  return missing;
}

bool MetricRecord::has(std::string_view name) const {
  return std::any_of(values.begin(), values.end(),
                     [name](const auto& entry) { return entry.first == name; });
}

std::string to_json_line(const MetricRecord& record) {
  std::string out = "{\"time_s\":";
  append_number(out, record.time_s);
  fmt::format_to(std::back_inserter(out), ",\"attempt\":{},\"rank\":{},\"step\":{}", record.attempt,
                 record.rank, record.step);
  for (const auto& [name, value] : record.values) {
    fmt::format_to(std::back_inserter(out), ",\"{}\":", name);
    append_number(out, value);
  }
  if (!record.expert_load.empty()) {
    fmt::format_to(std::back_inserter(out), ",\"expert_layers\":[{}],\"expert_load\":[",
                   fmt::join(record.expert_layers, ","));
    for (std::size_t row = 0; row < record.expert_load.size(); ++row) {
      out += row > 0 ? ",[" : "[";
      for (std::size_t i = 0; i < record.expert_load[row].size(); ++i) {
        if (i > 0) out += ',';
        append_number(out, record.expert_load[row][i]);
      }
      out += ']';
    }
    out += ']';
  }
  if (!record.data_chain.empty()) out += ",\"data_chain\":" + Json(record.data_chain).dump();
  out += "}\n";
  return out;
}

Result<MetricRecord> parse_json_line(std::string_view line) {
  const Json document = Json::parse(line, nullptr, false);
  if (!document.is_object()) return fail(ErrorCode::corrupt, "expected one JSON object");
  MetricRecord record;
  TERA_TRY(record.step, integer_member(document, "step", 0, std::int64_t{1} << 53));
  TERA_TRY(const std::int64_t attempt, integer_member(document, "attempt", 1, 1 << 30));
  record.attempt = static_cast<int>(attempt);
  if (document.contains("rank")) {
    TERA_TRY(const std::int64_t rank, integer_member(document, "rank", 0, 1 << 30));
    record.rank = static_cast<int>(rank);
  }
  const auto time = document.find("time_s");
  if (time == document.end() || !time->is_number()) {
    return fail(ErrorCode::corrupt, "time_s: expected a number");
  }
  record.time_s = time->get<double>();
  for (const auto& [name, value] : document.items()) {
    const MetricInfo* info = find_metric(name);
    if (info == nullptr || info->is_vector) continue;  // of a later version, or handled below
    const std::optional<double> number = as_number(value);
    if (!number) {
      return fail(ErrorCode::corrupt,
                  fmt::format("{}: got {}, expected a number", name, value.dump().substr(0, 80)));
    }
    record.values.emplace_back(name, *number);
  }
  if (const auto load = document.find("expert_load"); load != document.end()) {
    TERA_TRY(record.expert_load, expert_load_of(*load));
    TERA_TRY(record.expert_layers, expert_layers_of(document, record.expert_load.size()));
  }
  if (const auto chain = document.find("data_chain");
      chain != document.end() && chain->is_string()) {
    record.data_chain = chain->get<std::string>();
  }
  return record;
}

}  // namespace tera::run
