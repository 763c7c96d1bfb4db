// No number without a source: reads the sources of core/plan and judges each number in them by the
// rule of core/plan/constant.h.
#include <algorithm>
#include <cctype>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include <gtest/gtest.h>

#include "core/plan/constant.h"

namespace tera::plan {
namespace {

namespace fs = std::filesystem;

// How the planner computes: file and name. A name that is no longer there has to go from here.
const std::set<std::string> kOfComputing = {
    "calibration.cpp kLargestChange",     // how far a step of the fit may go
    "calibration.cpp kRounds",            // of reweighting
    "calibration.cpp kSmallest",          // errors that weigh as squares
    "calibration.cpp kStep",              // of derivatives
    "cost_model.cpp kLeastGoodput",       // below it a run is refused
    "cost_model.cpp kWorthTelling",       // goodput lost by the interval of checkpoints
    "expert_load.cpp kHalvings",          // of a bisection
    "fitted_values.cpp kMostReached",     // shares stay below one
    "published_columns.cpp kMost",        // that a cell may say
    "published_model.cpp kAlike",         // flops of a token that count as the same
    "published_table.cpp kMostProblems",  // told at once
    "published_table.cpp kShown",         // letters of a cell in a message
    "schedule_program.cpp kBits",         // of the time of a step
    "schedule_text.cpp kLongest",         // letters of a word in a message
    "search.cpp kAlike",                  // steps that count as the same
    "search.cpp kStride",                 // between layouts looked at in turn
    "search.h top",                       // layouts to list
    "search_standing.cpp kHalvings",      // of a bisection
};

struct Source {
  std::string text;
  std::string code;      // as long; comments and the inside of strings are blanks
  std::string comments;  // as long; all but comments is blanks
};

Source parts_of(std::string text) {
  Source source{.text = text, .code = text, .comments = std::string(text.size(), ' ')};
  const auto blank = [&source](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end && i < source.code.size(); ++i)
      if (source.code[i] != '\n') source.code[i] = ' ';
  };
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text.compare(i, 2, "//") == 0) {
      const std::size_t end = std::min(text.find('\n', i), text.size());
      source.comments.replace(i, end - i, text, i, end - i);
      blank(i, end);
      i = end;
    } else if (text[i] == '"' || (text[i] == '\'' && (i == 0 || !std::isalnum(text[i - 1])))) {
      std::size_t end = i + 1;
      while (end < text.size() && text[end] != text[i])
        end += text[end] == '\\' ? 2 : 1;
      blank(i + 1, end);
      i = end;
    }
  }
  return source;
}

bool is_structural(double value) {
  if (std::nearbyint(value) == value && value <= 16) return true;
  for (const double conversion : {24.0, 3600.0, 8766.0})
    if (value == conversion) return true;
  if (std::exp2(std::nearbyint(std::log2(value))) == value) return true;
  const double exponent = std::nearbyint(std::log10(value));
  return std::abs(exponent) <= 12 && std::abs(value / std::pow(10, exponent) - 1) < 1e-12;
}

struct Number {
  std::size_t at = 0;
  double value = 0;
};
std::vector<Number> numbers_of(const std::string& code) {
  std::vector<Number> numbers;
  const auto in_word = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '_';
  };
  for (std::size_t i = 1; i < code.size(); ++i) {
    if (!std::isdigit(static_cast<unsigned char>(code[i]))) continue;
    std::size_t end = i;
    while (end < code.size() && (in_word(code[end]) || code[end] == '.' || code[end] == '\'' ||
                                 ((code[end] == '-' || code[end] == '+') && code[end - 1] == 'e')))
      ++end;
    std::string digits = code.substr(i, end - i);
    std::erase(digits, '\'');
    const bool shift = i >= 3 && code.compare(i - 3, 3, "<< ") == 0;  // a power of two
    if (!in_word(code[i - 1]) && code[i - 1] != '.' && !shift)
      numbers.push_back({i, std::strtod(digits.c_str(), nullptr)});
    i = end;
  }
  return numbers;
}

// The innermost braces around a place, as far as they hold no statement.
std::optional<std::pair<std::size_t, std::size_t>> braces_around(const std::string& code,
                                                                 std::size_t begin,
                                                                 std::size_t end) {
  const auto find = [&code](std::size_t at, int step, char in, char out) {
    for (int depth = 0; at < code.size(); at += static_cast<std::size_t>(step)) {
      if (code[at] == ';') break;
      if (code[at] == in && --depth < 0) return at;
      if (code[at] == out) ++depth;
    }
    return std::string::npos;
  };
  if (begin == 0) return std::nullopt;
  const std::size_t open = find(begin - 1, -1, '{', '}');
  const std::size_t close = find(end, 1, '}', '{');
  if (open == std::string::npos || close == std::string::npos) return std::nullopt;
  if (code.substr(open, close - open).find(';') != std::string::npos) return std::nullopt;
  return std::pair{open, close};
}

// A text in quotes that is long enough to say where a number is from, or the name of one.
bool holds_source(const Source& source, std::size_t begin, std::size_t end) {
  constexpr std::size_t kShortest = 12;
  for (std::size_t i = begin; i < end; ++i) {
    if (source.code[i] != '"') continue;
    const std::size_t close = source.code.find('"', i + 1);
    if (close - i > kShortest) return true;
    i = close;
  }
  const std::string code = source.code.substr(begin, end - begin);
  for (const char* name : {".source = k", "Source"})
    if (code.find(name) != std::string::npos) return true;
  return false;
}

// The comment right above the statement that a place is in.
std::string comment_above(const Source& source, std::size_t at) {
  std::size_t begin = source.code.rfind('\n', at);
  while (begin != std::string::npos && begin > 0 && source.code[begin + 1] == ' ')
    begin = source.code.rfind('\n', begin - 1);
  std::string comment;
  while (begin != std::string::npos && begin > 0) {
    const std::size_t before = source.code.rfind('\n', begin - 1);
    if (source.text.compare(before + 1, 2, "//") != 0) break;
    comment += source.comments.substr(before + 1, begin - before - 1);
    begin = before;
  }
  return comment;
}

bool has_source(const Source& source, const Number& number) {
  std::size_t begin = number.at;
  std::size_t end = number.at;
  bool in_table = false;
  while (const auto braces = braces_around(source.code, begin, end)) {
    std::tie(begin, end) = *braces;
    ++end;
    if (holds_source(source, begin, end)) return true;
    in_table = true;
  }
  return in_table && comment_above(source, number.at).size() > 80;
}

// "constexpr double kStep = 0.04": kStep.
std::string declared_name(const std::string& code, std::size_t at) {
  const std::size_t line = code.rfind('\n', at) + 1;
  const std::size_t equals = code.find('=', line);
  if (equals == std::string::npos || equals > at) return {};
  const std::size_t end = code.find_last_not_of(' ', equals - 1) + 1;
  const std::size_t begin = code.find_last_of(' ', end - 1) + 1;
  return code.substr(begin, end - begin);
}

// "file:line: text" of numbers that have no source; names of computing found go to `named`.
std::vector<std::string> without_source(const std::string& file,
                                        const std::string& text,
                                        std::set<std::string>& named) {
  const Source source = parts_of(text);
  std::vector<std::string> found;
  for (const Number& number : numbers_of(source.code)) {
    const std::string name = file + " " + declared_name(source.code, number.at);
    if (kOfComputing.contains(name)) {
      named.insert(name);
      continue;
    }
    if (is_structural(number.value) || has_source(source, number)) continue;
    const auto line =
        1 + std::count(text.begin(), text.begin() + static_cast<int>(number.at), '\n');
    const std::size_t begin = text.rfind('\n', number.at) + 1;
    found.push_back(file + ":" + std::to_string(line) + ": " +
                    text.substr(begin, text.find('\n', begin) - begin));
  }
  return found;
}

TEST(Constants, EveryNumberOfThePlannerHasASource) {
  std::set<std::string> named;
  int num_files = 0;
  for (const auto& entry :
       fs::directory_iterator(fs::path(std::getenv("TERA_SOURCE_DIR")) / "core/plan")) {
    const fs::path& path = entry.path();
    if (path.extension() != ".h" && path.extension() != ".cpp") continue;
    ++num_files;
    std::ifstream stream(path);
    const std::string text{std::istreambuf_iterator<char>(stream), {}};
    for (const std::string& place : without_source(path.filename().string(), text, named))
      ADD_FAILURE() << place << "\nmake it a Constant with its source (core/plan/constant.h)";
  }
  EXPECT_GT(num_files, 100);
  EXPECT_EQ(named, kOfComputing) << "names that are no longer there";
}

TEST(Constants, TheReaderTellsNumbersWithASourceFromOthers) {
  const auto count = [](const std::string& text) {
    std::set<std::string> named;
    return without_source("some.cpp", "\n" + text, named).size();
  };
  EXPECT_EQ(count("double f(double x) { return 0.85 * x; }"), 1U);
  EXPECT_EQ(count("constexpr double kShare = 0.85;  // Dao 2023"), 1U);
  EXPECT_EQ(count("constexpr Constant kShare{\"share\", 0.85, \"\", false, \"\"};"), 1U);
  EXPECT_EQ(
      count("constexpr Constant kShare{\"share\", 0.85, \"\", false, \"Dao 2023, figure 5\"};"),
      0U);
  EXPECT_EQ(count("Law law() {\n  return {.a = 482.01, .source = kLawSource};\n}"), 0U);
  EXPECT_EQ(count("Law law() {\n  return {.a = 482.01, .b = 3};\n}"), 1U);
  EXPECT_EQ(count("void f() {\n  say(\"a long text that is no source\");\n  x = 0.3;\n}"), 1U);
  const std::string table =
      "constexpr Row kRows[] = {\n    {2509, \"H100\"},\n    {2511, \"B200\"}};";
  EXPECT_EQ(count(table), 2U);
  EXPECT_EQ(count("// Megatron-Bridge, scripts/performance at the tags of its containers: version "
                  "25.09 is 2509.\n" +
                  table),
            0U);
  EXPECT_EQ(count("x = 2 * 16 * n + 1 / 128.0 + 1e9 * 0.5 + 3600 + (1 << 20) + a17 + b.x2;"), 0U);
  EXPECT_EQ(count("x = 17; y = 0.3; z = 5e8; w = 1'000'001;"), 4U);
}

}  // namespace
}  // namespace tera::plan
