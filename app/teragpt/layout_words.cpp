#include "app/teragpt/layout_words.h"

#include <charconv>
#include <optional>
#include <set>
#include <utility>

#include <fmt/format.h>

namespace tera::app {
namespace {

constexpr const char* kExpected =
    "tp, cp, pp, dp, ep, etp or copies with 1 to 1024, zero with 0 to 3, ulysses, all-gather, or a "
    "schedule, joined by '-': tp2, dp2-zero3, dp4-zero1-copies2, pp2-zb-v, cp2-ulysses, "
    "ep2-all-gather";

constexpr int kMostRanks = 1024;  // of an axis

// The number behind `name` at the beginning of `text`, which loses both; none that is not within.
std::optional<int> take(std::string_view& text, std::string_view name, int least, int most) {
  if (!text.starts_with(name)) return std::nullopt;
  int number = 0;
  const char* begin = text.data() + name.size();
  const auto parsed = std::from_chars(begin, text.data() + text.size(), number);
  if (parsed.ec != std::errc() || number < least || number > most) return std::nullopt;
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

// What the first part speaks of; empty where nothing is known by that name.
std::string_view take_part(std::string_view& text, spec::ParallelLayout& layout) {
  const std::pair<std::string_view, int*> sizes[] = {
      {"tp", &layout.tensor_parallel_size},   {"cp", &layout.context_parallel_size},
      {"pp", &layout.pipeline_parallel_size}, {"dp", &layout.data_parallel_size},
      {"ep", &layout.expert_parallel_size},   {"etp", &layout.expert_tensor_parallel_size},
      {"copies", &layout.zero_replicas}};
  for (const auto& [name, field] : sizes) {
    if (const std::optional<int> size = take(text, name, 1, kMostRanks)) {
      *field = *size;
      return name;
    }
  }
  if (const std::optional<int> stage = take(text, "zero", 0, 3)) {
    layout.zero_stage = *stage;
    return "zero";
  }
  constexpr auto kUlysses = spec::ContextMethod::ulysses;
  if (take_word(text, enum_name(kUlysses))) {
    layout.context_parallel_method = kUlysses;
    return enum_name(kUlysses);
  }
  constexpr auto kAllGather = spec::ExpertDispatcher::all_gather;
  if (take_word(text, enum_name(kAllGather))) {
    layout.expert_dispatcher = kAllGather;
    return enum_name(kAllGather);
  }
  return take_schedule(text, layout) ? "schedule" : "";
}

// Parts that would change nothing, for want of ranks that they speak of.
Result<void> require_effect(const std::string& word,
                            const spec::ParallelLayout& layout,
                            bool has_experts) {
  const auto refuse = [&](std::string_view got, std::string_view expected) {
    return fail(ErrorCode::invalid_input,
                fmt::format("layout {}: got {}, expected {}", word, got, expected));
  };
  if (layout.context_parallel_method != spec::ContextMethod::ring &&
      layout.context_parallel_size == 1) {
    return refuse("ulysses with one context rank", "cp2 or more beside it: cp2-ulysses");
  }
  if (layout.expert_dispatcher != spec::ExpertDispatcher::all_to_all &&
      layout.expert_parallel_size * layout.expert_tensor_parallel_size == 1) {
    return refuse("all-gather with one rank of experts", "ep2 or more beside it: ep2-all-gather");
  }
  if (layout.schedule != spec::ScheduleKind::one_f_one_b && layout.pipeline_parallel_size == 1) {
    const std::string_view schedule = enum_name(layout.schedule);
    return refuse(fmt::format("{} with one pipeline stage", schedule),
                  fmt::format("pp2 or more beside it: pp2-{}", schedule));
  }
  if (layout.zero_stage > 0 && layout.data_parallel_size == 1 &&
      layout.context_parallel_size == 1) {
    return refuse(fmt::format("zero{} with one replica", layout.zero_stage),
                  fmt::format("dp2 or more beside it: dp2-zero{}", layout.zero_stage));
  }
  if (layout.zero_replicas > 1 && layout.zero_stage == 0) {
    return refuse(fmt::format("copies{} of nothing that is shared out", layout.zero_replicas),
                  fmt::format("zero1, 2 or 3 beside it: dp{}-zero1-copies{}",
                              2 * layout.zero_replicas, layout.zero_replicas));
  }
  const int replicas = layout.data_parallel_size * layout.context_parallel_size;
  const int of_experts = replicas * layout.tensor_parallel_size /
                         (layout.expert_parallel_size * layout.expert_tensor_parallel_size);
  if (layout.zero_replicas > 1 && layout.zero_replicas == replicas &&
      (!has_experts || of_experts == replicas)) {
    return refuse(fmt::format("copies{} of one rank each", layout.zero_replicas),
                  fmt::format("more replicas: dp{}-zero{}-copies{}", 2 * layout.zero_replicas,
                              layout.zero_stage, layout.zero_replicas));
  }
  return {};
}

}  // namespace

Result<spec::ParallelLayout> layout_of(const std::string& word, bool has_experts) {
  spec::ParallelLayout layout;
  std::string_view rest = word;
  std::set<std::string_view> told;
  do {
    const std::string_view part = rest;
    const std::string_view name = take_part(rest, layout);
    if (name.empty() || !(rest.empty() || (rest.front() == '-' && rest.size() > 1))) {
      return fail(ErrorCode::invalid_input,
                  fmt::format("layout {}: got '{}', expected {}", word, part, kExpected));
    }
    if (!told.insert(name).second) {
      return fail(ErrorCode::invalid_input,
                  fmt::format("layout {}: got '{}' after another {}, expected each once", word,
                              part.substr(0, part.size() - rest.size()), name));
    }
    if (!rest.empty()) rest.remove_prefix(1);
  } while (!rest.empty());
  layout.sequence_parallel = layout.tensor_parallel_size > 1;
  const int of_experts = layout.expert_parallel_size * layout.expert_tensor_parallel_size;
  const int of_tokens = layout.tensor_parallel_size * layout.context_parallel_size;
  if (layout.data_parallel_size == 1 && of_experts > of_tokens && of_experts % of_tokens == 0)
    layout.data_parallel_size = of_experts / of_tokens;
  TERA_TRY_VOID(require_effect(word, layout, has_experts));
  return layout;
}

}  // namespace tera::app
