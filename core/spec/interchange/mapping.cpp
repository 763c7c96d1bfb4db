#include "core/spec/interchange/mapping.h"

#include <algorithm>
#include <charconv>
#include <utility>

#include <fmt/format.h>

#include "core/spec/scalars.h"

namespace tera::spec {

const FieldInfo* field_info(std::string_view path) {
  for (const FieldInfo& info : all_fields()) {
    if (info.path == path) return &info;
  }
  return nullptr;
}

std::optional<double> number_in(std::string_view text) {
  double value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

SettingList written_rows(const Mapping& mapping, const RunSpec& spec) {
  SettingList written;
  for (const Row& row : mapping.rows) {
    if (row.when != nullptr && !row.when(spec)) continue;
    const std::string value = get_field(spec, row.field).value_or("");
    if (row.is_flag()) {
      if (value == row.words.front().ours) written.push_back(flag_setting(std::string(row.key)));
      continue;
    }
    const FieldInfo* info = field_info(row.field);
    Setting setting = text_setting(std::string(row.key), value);
    if (!row.words.empty()) {
      const auto at = std::find_if(row.words.begin(), row.words.end(),
                                   [&](const Word& word) { return word.ours == value; });
      if (at == row.words.end()) continue;  // the comparison with what reads back lists it
      setting.text = at->theirs;
      if (setting.text == "true" || setting.text == "false") setting.kind = Setting::Kind::boolean;
      if (number_in(setting.text)) setting.kind = Setting::Kind::number;
    } else if (info->kind == FieldInfo::Kind::integer || info->kind == FieldInfo::Kind::number) {
      setting.kind = Setting::Kind::number;
      if (info->kind == FieldInfo::Kind::number && mapping.fractions_have_point)
        setting.text = number_setting({}, number_in(value).value_or(0)).text;
    } else if (info->kind == FieldInfo::Kind::boolean) {
      setting.kind = Setting::Kind::boolean;
    }
    written.push_back(std::move(setting));
  }
  return written;
}

Setting number_setting(std::string key, double value) {
  std::string text = scalar_text(value);
  if (text.find_first_of(".en") == std::string::npos) text += ".0";
  Setting setting = text_setting(std::move(key), std::move(text));
  setting.kind = Setting::Kind::number;
  return setting;
}

Setting whole_setting(std::string key, std::int64_t value) {
  Setting setting = text_setting(std::move(key), scalar_text(value));
  setting.kind = Setting::Kind::number;
  return setting;
}

Setting text_setting(std::string key, std::string value) {
  Setting setting;
  setting.key = std::move(key);
  setting.text = std::move(value);
  setting.kind = Setting::Kind::quoted;
  return setting;
}

Setting flag_setting(std::string key) {
  Setting setting = text_setting(std::move(key), {});
  setting.kind = Setting::Kind::flag;
  return setting;
}

Setting boolean_setting(std::string key, bool value) {
  Setting setting = text_setting(std::move(key), value ? "true" : "false");
  setting.kind = Setting::Kind::boolean;
  return setting;
}

void share_out_ranks(Importer& importer,
                     std::string_view key,
                     std::int64_t from_file,
                     std::int64_t from_caller) {
  ParallelLayout& layout = importer.spec().layout;
  if (from_file > 0 && from_caller > 0 && from_file != from_caller) {
    return importer.error(
        key, fmt::format("the file runs on {} GPUs, but --gpus says {}", from_file, from_caller),
        "leave --gpus away, or change the file");
  }
  const std::int64_t ranks = from_caller > 0 ? from_caller : from_file;
  const std::int64_t replica = std::int64_t{1} * layout.tensor_parallel_size *
                               layout.context_parallel_size * layout.pipeline_parallel_size;
  if (ranks < 1) {
    layout.data_parallel_size = 1;
    return importer.warning(
        key,
        fmt::format("the file does not say how many GPUs there are: one replica of {} is "
                    "planned",
                    replica),
        "say it with --gpus");
  }
  const std::string product =
      fmt::format("tensor x context x pipeline = {} x {} x {} = {}", layout.tensor_parallel_size,
                  layout.context_parallel_size, layout.pipeline_parallel_size, replica);
  if (ranks % replica != 0 || ranks / replica > (1 << 20)) {
    return importer.error(key, fmt::format("{} GPUs are not a multiple of {}", ranks, product),
                          fmt::format("use {}", (ranks / replica + 1) * replica));
  }
  layout.data_parallel_size = static_cast<int>(ranks / replica);
}

double without_rounding(double value) {
  return number_in(fmt::format("{:.12g}", value)).value_or(value);
}

std::vector<LeftOut> differences(const RunSpec& spec, const RunSpec& back, std::string_view title) {
  std::vector<LeftOut> found;
  for (const FieldInfo& info : all_fields()) {
    if (info.path.starts_with("cluster.") || info.path == "name") continue;
    const std::string ours = get_field(spec, info.path).value_or("");
    const std::string theirs = get_field(back, info.path).value_or("");
    if (ours == theirs) continue;
    const bool nothing = theirs.empty() || theirs == "[]";
    const std::string means = nothing ? "" : "; what is written means " + theirs.substr(0, 60);
    // It says where a run is trained, and what is written is trained there.
    const bool elsewhere = info.path == "software.framework";
    found.push_back(
        {.name = info.path,
         .value = ours,
         .why = elsewhere ? fmt::format("{} runs it: plan it with {}={}", title, info.path, theirs)
                          : fmt::format("{} has no place for it{}", title, means)});
  }
  return found;
}

}  // namespace tera::spec
