#include "app/teragpt/layout_words.h"

#include <charconv>
#include <optional>

#include <fmt/format.h>

namespace tera::app {
namespace {

constexpr const char* kExpected =
    "tp, cp, pp, dp, ep, etp or zero with a number, ulysses, or a schedule, joined by '-': tp2, "
    "dp2-zero3, pp2-zb-v, cp2-ulysses";

// The number behind `name` at the beginning of `text`, which loses both.
std::optional<int> take(std::string_view& text, std::string_view name) {
  if (!text.starts_with(name)) return std::nullopt;
  int number = 0;
  const char* begin = text.data() + name.size();
  const auto parsed = std::from_chars(begin, text.data() + text.size(), number);
  if (parsed.ec != std::errc()) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(parsed.ptr - text.data()));
  return number;
}

bool take_word(std::string_view& text, std::string_view word) {
  if (!text.starts_with(word)) return false;
  text.remove_prefix(word.size());
  return true;
}

bool take_schedule(std::string_view& text, spec::ParallelLayout& layout) {
  // The longest first: of "zb-h1" no name is the beginning of another, but a new one may be.
  std::string_view found;
  for (const std::string_view name : EnumNames<spec::ScheduleKind>::value) {
    if (text.starts_with(name) && name.size() > found.size()) found = name;
  }
  if (found.empty()) return false;
  layout.schedule = *enum_from_name<spec::ScheduleKind>(found);
  const bool two_chunks =
      layout.schedule == spec::ScheduleKind::interleaved || spec::runs_in_v(layout.schedule);
  layout.virtual_stages = two_chunks ? 2 : 1;
  text.remove_prefix(found.size());
  return true;
}

bool take_part(std::string_view& text, spec::ParallelLayout& layout) {
  if (const auto size = take(text, "tp")) {
    layout.tensor_parallel_size = *size;
    layout.sequence_parallel = *size > 1;
  } else if (const auto pieces = take(text, "cp")) {
    layout.context_parallel_size = *pieces;
  } else if (take_word(text, enum_name(spec::ContextMethod::ulysses))) {
    layout.context_parallel_method = spec::ContextMethod::ulysses;
  } else if (const auto stages = take(text, "pp")) {
    layout.pipeline_parallel_size = *stages;
  } else if (const auto replicas = take(text, "dp")) {
    layout.data_parallel_size = *replicas;
  } else if (const auto experts = take(text, "ep")) {
    layout.expert_parallel_size = *experts;
  } else if (const auto parts = take(text, "etp")) {
    layout.expert_tensor_parallel_size = *parts;
  } else if (const auto stage = take(text, "zero")) {
    layout.zero_stage = *stage;
  } else {
    return take_schedule(text, layout);
  }
  return true;
}

}  // namespace

Result<spec::ParallelLayout> layout_of(const std::string& word, spec::ParallelLayout layout) {
  std::string_view rest = word;
  do {
    const std::string_view part = rest;
    const bool known = take_part(rest, layout);
    if (!known || !(rest.empty() || (rest.front() == '-' && rest.size() > 1))) {
      return fail(ErrorCode::invalid_input,
                  fmt::format("layout {}: got '{}', expected {}", word, part, kExpected));
    }
    if (!rest.empty()) rest.remove_prefix(1);
  } while (!rest.empty());
  const int of_experts = layout.expert_parallel_size * layout.expert_tensor_parallel_size;
  const int of_tokens = layout.tensor_parallel_size * layout.context_parallel_size;
  if (layout.data_parallel_size == 1 && of_experts > of_tokens && of_experts % of_tokens == 0)
    layout.data_parallel_size = of_experts / of_tokens;
  return layout;
}

}  // namespace tera::app
