// Reading JSON from strangers: bounded size and depth, and fields with errors that name them.
#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "core/base/result.h"

namespace tera {

struct JsonLimits {
  std::uint64_t max_bytes = 64 << 20;
  int max_depth = 64;
  bool unique_keys = false;  // an object that names a key twice is refused
};

// Parses one document. Errors name the byte where it stops being JSON, or the key given twice.
Result<nlohmann::json> parse_json(std::string_view text, const JsonLimits& limits);

// A view of an object that reads required fields; the first problem is written to `problem` and all
// later reads give empty values, so that a reader is a plain list of fields.
class JsonReader {
 public:
  JsonReader(const nlohmann::json& value, std::string path, std::string& problem)
      : value_(&value), path_(std::move(path)), problem_(&problem) {}

  std::string text(std::string_view key) const;
  std::int64_t integer(std::string_view key, std::int64_t at_least) const;
  JsonReader object(std::string_view key) const;
  std::vector<JsonReader> list(std::string_view key) const;  // of objects
  std::vector<std::string> texts(std::string_view key) const;
  std::vector<std::int64_t> integers(std::string_view key) const;
  std::map<std::string, std::string> text_map(std::string_view key) const;
  std::map<std::string, std::int64_t> integer_map(std::string_view key) const;

  // Records "path.key: got X, expected Y".
  void complain(std::string_view key, std::string_view expected, std::string_view got) const;

 private:
  const nlohmann::json* find(std::string_view key, nlohmann::json::value_t type) const;
  const nlohmann::json* value_;
  std::string path_;
  std::string* problem_;
};

}  // namespace tera
