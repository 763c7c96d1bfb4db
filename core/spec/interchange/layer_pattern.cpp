#include "core/spec/interchange/layer_pattern.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <optional>
#include <utility>

#include <fmt/format.h>

namespace tera::spec {
namespace {

constexpr int kMostLayers = 10000;  // of model.num_layers
constexpr int kMostDepth = 16;

struct Value {
  bool is_list = false;
  int number = 0;
  std::vector<int> list;
};

// sum = product {"+" product}; product = factor {"*" factor}; factor = number, list or "(" sum ")".
class PatternParser {
 public:
  explicit PatternParser(std::string_view text) : text_(text) {}

  std::optional<Value> whole() {
    std::optional<Value> value = sum(0);
    return at_ == text_.size() ? value : std::nullopt;
  }

 private:
  void skip_spaces() {
    while (at_ < text_.size() && std::isspace(static_cast<unsigned char>(text_[at_])) != 0)
      ++at_;
  }

  bool take(char c) {
    skip_spaces();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  std::optional<Value> number() {
    skip_spaces();
    int value = 0;
    const auto [end, error] =
        std::from_chars(text_.data() + at_, text_.data() + text_.size(), value);
    if (error != std::errc{} || value < 0 || value > kMostLayers) return std::nullopt;
    at_ = static_cast<std::size_t>(end - text_.data());
    return Value{.is_list = false, .number = value, .list = {}};
  }

  std::optional<Value> factor(int depth) {
    if (depth > kMostDepth) return std::nullopt;
    if (take('(')) {
      std::optional<Value> inner = sum(depth + 1);
      return take(')') ? inner : std::nullopt;
    }
    if (!take('[')) return number();
    Value value{.is_list = true, .number = 0, .list = {}};
    while (!take(']')) {
      const std::optional<Value> item = number();
      if (!item || item->number > 1) return std::nullopt;
      value.list.push_back(item->number);
      static_cast<void>(take(','));
    }
    return value;
  }

  // A list so many times, in either order.
  static std::optional<Value> repeated(const Value& a, const Value& b) {
    if (a.is_list == b.is_list) return std::nullopt;
    const std::vector<int>& once = a.is_list ? a.list : b.list;
    const int times = a.is_list ? b.number : a.number;
    if (std::ssize(once) * times > kMostLayers) return std::nullopt;
    Value all{.is_list = true, .number = 0, .list = {}};
    for (int i = 0; i < times; ++i)
      all.list.insert(all.list.end(), once.begin(), once.end());
    return all;
  }

  std::optional<Value> product(int depth) {
    std::optional<Value> left = factor(depth);
    while (left && take('*')) {
      const std::optional<Value> right = factor(depth);
      if (!right) return std::nullopt;
      left = repeated(*left, *right);
    }
    return left;
  }

  std::optional<Value> sum(int depth) {
    std::optional<Value> left = product(depth);
    while (left && take('+')) {
      const std::optional<Value> right = product(depth);
      if (!right || !right->is_list || !left->is_list) return std::nullopt;
      left->list.insert(left->list.end(), right->list.begin(), right->list.end());
    }
    skip_spaces();
    return left;
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

}  // namespace

Result<std::vector<int>> parse_layer_pattern(std::string_view text, int num_layers) {
  const std::optional<Value> value = PatternParser(text).whole();
  if (!value || (!value->is_list && value->number < 1)) {
    return fail(ErrorCode::invalid_input,
                fmt::format("got '{}', expected a number or a list of 0 and 1 such as "
                            "([0]*3+[1]*58)",
                            text.substr(0, 60)));
  }
  std::vector<int> pattern = value->list;
  for (int i = 0; !value->is_list && i < num_layers; ++i)
    pattern.push_back(i % value->number == 0 ? 1 : 0);
  if (std::ssize(pattern) != num_layers) {
    return fail(ErrorCode::invalid_input, fmt::format("is a list of {} layers, but there are {}",
                                                      pattern.size(), num_layers));
  }
  return pattern;
}

bool set_moe_layers(const std::vector<int>& pattern, ModelConfig& model) {
  const auto first = std::find(pattern.begin(), pattern.end(), 1);
  if (first == pattern.end()) return false;
  const auto second = std::find(first + 1, pattern.end(), 1);
  const int at = static_cast<int>(first - pattern.begin());
  model.moe_layer_interval = static_cast<int>(second - first);
  model.num_dense_layers = std::max(0, at - model.moe_layer_interval + 1);
  for (int i = 0; i < std::ssize(pattern); ++i) {
    if (model.is_moe_layer(i) != (pattern[static_cast<std::size_t>(i)] == 1)) return false;
  }
  return true;
}

std::string layer_pattern(const ModelConfig& model) {
  const int dense = model.num_dense_layers;
  const int step = model.moe_layer_interval;
  const int behind = model.num_layers - dense;
  if (dense == 0 && step == 1) return {};
  std::string text = dense > 0 ? fmt::format("[0]*{}+", dense) : "";
  text += step == 1 ? fmt::format("[1]*{}", behind)
                    : fmt::format("([0]*{}+[1])*{}", step - 1, behind / step);
  if (behind % step != 0) text += fmt::format("+[0]*{}", behind % step);
  return "(" + text + ")";
}

}  // namespace tera::spec
