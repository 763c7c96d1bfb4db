#include "core/plan/published_columns.h"

#include <charconv>

#include <fmt/format.h>

namespace tera::plan {
namespace {

// "338", or "338 (330)" where the source prints a second measurement: the first counts.
std::optional<double> measurement(std::string_view text) {
  const auto number = [](std::string_view digits) -> std::optional<double> {
    constexpr double kMost = 1e15;
    const char* const end = digits.data() + digits.size();
    double value = 0;
    const auto parsed = std::from_chars(digits.data(), end, value);
    const bool whole = parsed.ec == std::errc() && parsed.ptr == end;
    return whole && value > 0 && value <= kMost ? std::optional(value) : std::nullopt;
  };
  const std::size_t bracket = text.find(" (");
  if (bracket == std::string_view::npos) return number(text);
  const bool closed =
      text.back() == ')' && number(text.substr(bracket + 2, text.size() - bracket - 3)).has_value();
  return closed ? number(text.substr(0, bracket)) : std::nullopt;
}

}  // namespace

const std::vector<PublishedColumn>& published_columns() {
  using R = PublishedRow;
  static const std::vector<PublishedColumn> all = {
      {"id", &R::id},
      {"source", &R::source},
      {"model", &R::model},
      {"layers", &R::layers},
      {"hidden", &R::hidden},
      {"ffn_hidden", &R::ffn_hidden},
      {"heads", &R::heads},
      {"kv_heads", &R::kv_heads},
      {"head_dim", &R::head_dim},
      {"vocab", &R::vocab},
      {"seq_len", &R::seq_len},
      {"experts", &R::experts},
      {"topk", &R::topk},
      {"moe_ffn_hidden", &R::moe_ffn_hidden},
      {"shared_experts", &R::shared_experts},
      {"moe_layer_freq", &R::moe_layer_freq},
      {"gpu", &R::gpu},
      {"num_gpus", &R::num_gpus},
      {"gpus_per_node", &R::gpus_per_node},
      {"TP", &R::tensor},
      {"PP", &R::pipeline},
      {"VPP", &R::virtual_stages},
      {"EP", &R::expert},
      {"ETP", &R::expert_tensor},
      {"CP", &R::context},
      {"DP", &R::data},
      {"zero_distopt", &R::zero},
      {"micro_batch", &R::micro_batch},
      {"global_batch", &R::global_batch},
      {"recompute", &R::recompute},
      {"sequence_parallel", &R::sequence_parallel},
      {"precision", &R::precision},
      {"pp_schedule", &R::schedule},
      {"step_time_s", &R::step_s},
      {"tflops_per_gpu", &R::tflops_per_gpu},
      {"mfu_pct", &R::mfu_pct},
      {"tokens_per_s_per_gpu", &R::tokens_per_s_per_gpu},
      {"mem_per_gpu_gib", &R::memory_gib},
      {"inferred_fields", &R::inferred_fields},
      {"evidence", &R::evidence},
      {"group", &R::group},
      {"notes", &R::notes},
  };
  return all;
}

std::vector<std::string_view> published_column_names() {
  std::vector<std::string_view> names;
  for (const PublishedColumn& column : published_columns())
    names.push_back(column.name);
  return names;
}

std::optional<std::string> set_cell(const PublishedColumn& column,
                                    const std::string& text,
                                    PublishedRow& row) {
  if (const auto* words = std::get_if<std::string PublishedRow::*>(&column.member)) {
    row.*(*words) = text;
    return std::nullopt;
  }
  if (text.empty()) return std::nullopt;
  if (const auto* whole = std::get_if<std::optional<int> PublishedRow::*>(&column.member)) {
    constexpr int kMost = 1 << 27;
    const int least = column.name == "shared_experts" ? 0 : 1;
    const char* const end = text.data() + text.size();
    int value = 0;
    const auto parsed = std::from_chars(text.data(), end, value);
    if (parsed.ec != std::errc() || parsed.ptr != end || value < least || value > kMost)
      return fmt::format("expected a whole number from {} to {}", least, kMost);
    row.*(*whole) = value;
    return std::nullopt;
  }
  const std::optional<double> value = measurement(text);
  if (!value) return "expected a number above 0";
  row.*std::get<std::optional<double> PublishedRow::*>(column.member) = value;
  return std::nullopt;
}

}  // namespace tera::plan
