#include "core/plan/fixed_axes.h"

#include <algorithm>

#include <fmt/format.h>

#include "core/spec/suggest.h"
#include "core/spec/yaml.h"

namespace tera::plan {
namespace {

constexpr std::string_view kFileAxis = "schedule_file";

// Fields of the layout, "offload.optimizer" among them.
std::vector<std::string_view> axis_names() {
  constexpr std::string_view kSection = "layout.";
  std::vector<std::string_view> names;
  for (const spec::FieldInfo& info : spec::all_fields()) {
    const std::string_view path = info.path;
    if (path.substr(0, kSection.size()) == kSection) names.push_back(path.substr(kSection.size()));
  }
  return names;
}

std::vector<std::string> separated(const std::string& text) {
  std::vector<std::string> parts(1);
  for (const char c : text) {
    if (c == ',') {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

}  // namespace

Result<FixedAxes> FixedAxes::parse(const std::vector<std::string>& texts) {
  FixedAxes fixed;
  const std::vector<std::string_view> names = axis_names();
  for (const std::string& text : texts) {
    const std::size_t equals = text.find('=');
    if (equals == std::string::npos || equals == 0 || equals + 1 == text.size()) {
      return fail(ErrorCode::invalid_input,
                  fmt::format("--fix: got '{}', expected AXIS=VALUE", text),
                  "for example --fix tensor_parallel_size=8");
    }
    const std::string axis = text.substr(0, equals);
    const std::string value = text.substr(equals + 1);
    if (std::find(names.begin(), names.end(), axis) == names.end()) {
      const auto nearest = spec::nearest_word(axis, names);
      return fail(ErrorCode::invalid_input, fmt::format("--fix: layout has no axis '{}'", axis),
                  nearest ? fmt::format("did you mean {}?", *nearest)
                          : fmt::format("it has {}", spec::one_of(names)));
    }
    if (axis == kFileAxis) {
      return fail(ErrorCode::invalid_input,
                  fmt::format("--fix: {} has the order of one layout, and no search runs it", axis),
                  "hold schedule, for example schedule=1f1b");
    }
    if (fixed.has(axis)) {
      return fail(
          ErrorCode::invalid_input,
          fmt::format("--fix: {} is fixed twice, to {} and {}", axis, fixed.texts_[axis], value),
          fmt::format("give it once: {}={},{}", axis, fixed.texts_[axis], value));
    }
    std::vector<spec::ParallelLayout>& layouts = fixed.layouts_[axis];
    for (const std::string& one : separated(value)) {
      spec::RunSpec scratch;
      const Result<void> set = spec::set_field(scratch, "layout." + axis, one);
      if (!set) {
        return fail(ErrorCode::invalid_input, fmt::format("--fix: {}", set.error().message),
                    set.error().hint);
      }
      layouts.push_back(scratch.layout);
    }
    const bool searched = std::find(kHeldAxes.begin(), kHeldAxes.end(), axis) == kHeldAxes.end();
    if (!searched && layouts.size() > 1) {
      return fail(ErrorCode::invalid_input,
                  fmt::format("--fix: {} is not searched, so it has one value", axis),
                  fmt::format("for example {}={}", axis, value.substr(0, value.find(','))));
    }
    fixed.texts_[axis] = value;
  }
  return fixed;
}

FixedAxes FixedAxes::without(const std::string& axis) const {
  FixedAxes rest = *this;
  rest.texts_.erase(axis);
  rest.layouts_.erase(axis);
  return rest;
}

}  // namespace tera::plan
