#include "core/spec/validate.h"

#include <algorithm>
#include <cctype>
#include <cmath>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>

#include <fmt/format.h>

#include "core/spec/findings.h"
#include "core/spec/scalars.h"

namespace tera::spec {
namespace {

// Where a field is, written out for messages alone.
struct FieldPlace {
  const FieldPlace* parent = nullptr;  // null: of the spec itself
  std::string_view name;

  std::string path() const {
    return parent == nullptr ? std::string(name) : fmt::format("{}.{}", parent->path(), name);
  }
};

// Every number inside its field's range: specs built in code or by a form have not met a parser.
template <HasFields T>
void check_ranges(const T& value, const FieldPlace* parent, Findings& findings) {
  T::visit_fields(value, [&](const Field& field, const auto& member) {
    using Member = std::remove_const_t<std::remove_reference_t<decltype(member)>>;
    const FieldPlace at{.parent = parent, .name = field.name};
    if constexpr (HasFields<Member>) {
      check_ranges(member, &at, findings);
    } else if constexpr (std::is_arithmetic_v<Member> && !std::is_same_v<Member, bool>) {
      const auto number = static_cast<double>(member);
      if (!std::isfinite(number) || number < field.min || number > field.max) {
        const std::string limit = number > field.max ? fmt::format("at most {:.16g}", field.max)
                                                     : fmt::format("at least {:.16g}", field.min);
        findings.error(at.path(), fmt::format("got {}, expected {}", scalar_text(member), limit),
                       "use " + limit);
      }
    }
  });
}

void check_name(const RunSpec& spec, Findings& findings) {
  constexpr std::size_t kMaxName = 128;
  const std::string& name = spec.name;
  const bool legal = std::all_of(name.begin(), name.end(), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '-' || c == '_' || c == '.';
  });
  if (name.empty() || name.size() > kMaxName || !legal || name.front() == '.' ||
      name.front() == '-') {
    std::string hint;
    for (const char c : name.substr(0, kMaxName)) {
      const bool keep =
          std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '.' || c == '-';
      const bool first = hint.empty() && (c == '.' || c == '-');
      if (!first) hint += keep ? c : '-';
    }
    findings.error(
        "name",
        fmt::format("got '{}', expected 1 to {} letters, digits, '-', '_' or '.', not starting "
                    "with '.' or '-'",
                    name.substr(0, 60), kMaxName),
        fmt::format("use {}", hint.empty() ? "run" : hint));
  }
}

void check_data(const RunSpec& spec, Findings& findings) {
  const DataConfig& data = spec.data;
  double total = 0;
  for (std::size_t i = 0; i < data.datasets.size(); ++i) {
    const DatasetConfig& dataset = data.datasets[i];
    if (dataset.path.empty()) {
      findings.error(fmt::format("data.datasets[{}].path", i),
                     "empty, expected the prefix of token files",
                     "for example data/train for data/train.bin and data/train.idx");
    }
    if (!std::isfinite(dataset.weight) || dataset.weight < 0) {
      findings.error(fmt::format("data.datasets[{}].weight", i),
                     fmt::format("got {}, expected at least 0", scalar_text(dataset.weight)),
                     "use 1");
    } else {
      total += dataset.weight;
    }
  }
  if (!data.datasets.empty() && total <= 0) {
    findings.error("data.datasets", "the weights add up to 0",
                   "give at least one dataset a weight of 1");
  }
  std::int64_t before = 0;
  for (std::size_t i = 0; i < data.blend_stages.size(); ++i) {
    const BlendStage& stage = data.blend_stages[i];
    const std::string at = fmt::format("data.blend_stages[{}]", i);
    if (stage.weights.size() != data.datasets.size()) {
      findings.error(
          at + ".weights",
          fmt::format("got {} weights for {} datasets", stage.weights.size(), data.datasets.size()),
          "give one weight per dataset, in their order");
    } else {
      double sum = 0;
      bool legal = true;
      for (const double weight : stage.weights) {
        legal = legal && std::isfinite(weight) && weight >= 0;
        sum += weight;
      }
      if (!legal || sum <= 0) {
        findings.error(at + ".weights", "weights must be at least 0 and add up to more than 0",
                       "for example [0.7, 0.3]");
      }
    }
    if (stage.from_sample <= before) {
      findings.error(at + ".from_sample",
                     fmt::format("{} does not come after {}", stage.from_sample,
                                 i == 0 ? "0, where the datasets' own weights start"
                                        : fmt::format("{}", before)),
                     "list the stages in the order in which they start");
    }
    before = std::max(before, stage.from_sample);
  }
}

}  // namespace

std::string nearest_divisors(std::int64_t whole,
                             std::int64_t size,
                             const std::function<bool(std::int64_t)>& is_legal) {
  std::int64_t below = 1;
  std::int64_t above = 0;
  for (std::int64_t i = 1; i <= whole / i; ++i) {
    if (whole % i != 0) continue;
    for (const std::int64_t divisor : {i, whole / i}) {
      if (!is_legal(divisor)) continue;
      if (divisor <= size) below = std::max(below, divisor);
      if (divisor >= size && (above == 0 || divisor < above)) above = divisor;
    }
  }
  return above == 0 || below == above ? fmt::format("use {}", below)
                                      : fmt::format("use {} or {}", below, above);
}

std::vector<Diagnostic> validate(const RunSpec& spec) {
  Findings findings;
  check_name(spec, findings);
  check_ranges(spec, nullptr, findings);
  std::vector<Diagnostic> found = findings.take();
  if (has_errors(found)) {  // the rules below divide by these numbers
    const bool only_name = std::all_of(found.begin(), found.end(), [](const Diagnostic& d) {
      return d.field == "name" || d.severity != Severity::error;
    });
    if (!only_name) return found;
  }
  check_model(spec, findings);
  check_layout(spec, findings);
  check_cluster(spec, findings);
  check_training(spec, findings);
  check_lora(spec, findings);
  check_data(spec, findings);
  const std::vector<Diagnostic> rest = findings.take();
  found.insert(found.end(), rest.begin(), rest.end());
  return found;
}

std::pair<int, int> position_of(const ParsedSpec& parsed, std::string path) {
  while (!path.empty()) {
    const auto at = parsed.positions.find(path);
    if (at != parsed.positions.end()) return at->second;
    const auto end = path.find_last_of(".[");
    path.resize(end == std::string::npos ? 0 : end);
  }
  return {0, 0};
}

ParsedSpec load_and_validate(const std::filesystem::path& path,
                             const std::vector<std::string>& overrides) {
  ParsedSpec parsed = load_run_spec(path);
  if (!parsed.ok()) return parsed;
  for (const std::string& item : overrides) {
    const auto equals = item.find('=');
    const Result<void> applied =
        equals == std::string::npos || equals == 0
            ? Result<void>(fail(ErrorCode::invalid_input,
                                fmt::format("got '{}', expected PATH=VALUE", item),
                                "for example --set training.num_steps=100"))
            : set_field(parsed.spec, item.substr(0, equals), item.substr(equals + 1));
    if (!applied) {
      parsed.diagnostics.push_back({.severity = Severity::error,
                                    .field = "--set",
                                    .message = applied.error().message,
                                    .hint = applied.error().hint});
    } else {  // the value no longer stands in the file
      parsed.positions.erase(item.substr(0, equals));
    }
  }
  if (!parsed.ok()) return parsed;
  for (Diagnostic& found : validate(parsed.spec)) {
    std::tie(found.line, found.column) = position_of(parsed, found.field);
    parsed.diagnostics.push_back(std::move(found));
  }
  return parsed;
}

}  // namespace tera::spec
