// set_field, get_field, all_fields: one field by its path, over the same field lists as the YAML.
#include <charconv>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "core/spec/presets.h"
#include "core/spec/scalars.h"
#include "core/spec/yaml.h"
#include "core/spec/yaml_decode.h"

namespace tera::spec {
namespace {

// "datasets[2].path" -> name "datasets", index 2, rest "path".
struct PathHead {
  std::string_view name;
  std::optional<std::size_t> index;
  std::string_view rest;
  bool valid = true;
};

PathHead split_path(std::string_view path) {
  PathHead head;
  const auto dot = path.find('.');
  head.name = path.substr(0, dot);
  head.rest = dot == std::string_view::npos ? std::string_view() : path.substr(dot + 1);
  head.valid = dot == std::string_view::npos || !head.rest.empty();
  const auto bracket = head.name.find('[');
  if (bracket == std::string_view::npos) return head;
  const std::string_view digits = head.name.substr(bracket + 1);
  std::size_t index = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), index);
  head.valid =
      head.valid && error == std::errc{} && end + 1 == digits.data() + digits.size() && *end == ']';
  head.index = index;
  head.name = head.name.substr(0, bracket);
  return head;
}

// Calls visit(field, value) for the value at the path and returns true; false if there is none.
template <class T, class Visit>
bool visit_path(T& value, std::string_view path, const Visit& visit) {
  const PathHead head = split_path(path);
  bool found = false;
  std::remove_const_t<T>::visit_fields(value, [&](const Field& field, auto& member) {
    using Member = std::remove_const_t<std::remove_reference_t<decltype(member)>>;
    if (found || !head.valid || field.name != head.name) return;
    if constexpr (HasFields<Member>) {
      if (head.index) return;
      if (!head.rest.empty()) {
        found = visit_path(member, head.rest, visit);
        return;
      }
    } else if constexpr (!ScalarValue<Member>) {
      if (head.index) {
        if (*head.index >= member.size()) return;
        auto& item = member[*head.index];
        if constexpr (HasFields<typename Member::value_type>) {
          found = !head.rest.empty() && visit_path(item, head.rest, visit);
        } else if (head.rest.empty()) {
          visit(field, item);
          found = true;
        }
        return;
      }
    }
    if (head.index || !head.rest.empty()) return;
    visit(field, member);
    found = true;
  });
  return found;
}

tl::unexpected<Error> unknown_path(std::string_view path) {
  std::vector<std::string_view> paths = {"model.preset", "cluster.preset"};
  for (const FieldInfo& info : all_fields())
    paths.push_back(info.path);
  const auto nearest = nearest_word(path, paths);
  return fail(ErrorCode::invalid_input, fmt::format("{}: no such field", path.substr(0, 128)),
              nearest ? fmt::format("did you mean {}?", *nearest)
                      : "paths look like training.num_steps or data.datasets[0].weight");
}

Result<void> set_preset(RunSpec& spec, std::string_view section, std::string_view name) {
  if (section == "model") {
    TERA_TRY(ModelPreset preset, model_preset(name));
    spec.model = preset.model;
  } else {
    TERA_TRY(ClusterPreset preset, cluster_preset(name));
    spec.cluster = preset.cluster;
  }
  return {};
}

// Lists and sections are given as YAML: [0.5, 0.5] or {num_layers: 4, ...}.
template <class T>
Result<void> assign_tree(const Field& field, std::string_view text, T& value) {
  const std::string wrapped = fmt::format("{}: {}", field.name, text);
  YamlTree tree = parse_yaml_tree(wrapped, {});
  std::vector<Diagnostic> problems = tree.diagnostics;
  T updated = value;
  if (problems.empty()) {
    YamlDecoder decoder;
    const YamlEntry* entry = tree.root.find(field.name);
    if (entry == nullptr || tree.root.entries.size() != 1) {
      return fail(ErrorCode::invalid_input, "the value does not stand alone",
                  "write lists as [a, b] and sections as {key: value}");
    }
    decoder.read_value(entry->value, field, {}, updated);
    problems = decoder.diagnostics;
  }
  if (has_errors(problems)) {
    const Diagnostic& first = problems.front();
    return fail(ErrorCode::invalid_input,
                first.field.empty() ? first.message : first.field + ": " + first.message,
                first.hint);
  }
  value = std::move(updated);
  return {};
}

template <class T>
std::string flow_text(const T& value);

template <class T>
std::string flow_item(const T& value) {
  if constexpr (std::is_same_v<T, std::string>) {
    return yaml_quoted(value);
  } else if constexpr (ScalarValue<T>) {
    return scalar_text(value);
  } else {
    return flow_text(value);
  }
}

// A list or section on one line.
template <class T>
std::string flow_text(const T& value) {
  std::string items;
  const auto add = [&items](const std::string& item) {
    items += (items.empty() ? "" : ", ") + item;
  };
  if constexpr (HasFields<T>) {
    T::visit_fields(value, [&](const Field& field, const auto& member) {
      add(fmt::format("{}: {}", field.name, flow_item(member)));
    });
    return "{" + items + "}";
  } else {
    for (const auto& item : value)
      add(flow_item(item));
    return "[" + items + "]";
  }
}

template <class T>
void collect_fields(const T& value, const std::string& path, std::vector<FieldInfo>& fields) {
  T::visit_fields(value, [&](const Field& field, const auto& member) {
    using Member = std::remove_const_t<std::remove_reference_t<decltype(member)>>;
    const std::string at = YamlDecoder::join(path, field.name);
    if constexpr (HasFields<Member>) {
      collect_fields(member, at, fields);
    } else {
      FieldInfo info{.path = at, .field = field, .kind = FieldInfo::Kind::integer, .choices = {}};
      if constexpr (NamedEnum<Member>) {
        info.kind = FieldInfo::Kind::choice;
        info.choices.assign(EnumNames<Member>::value.begin(), EnumNames<Member>::value.end());
      } else if constexpr (std::is_same_v<Member, bool>) {
        info.kind = FieldInfo::Kind::boolean;
      } else if constexpr (std::is_same_v<Member, double>) {
        info.kind = FieldInfo::Kind::number;
      } else if constexpr (std::is_same_v<Member, std::string>) {
        info.kind = FieldInfo::Kind::text;
      } else if constexpr (!ScalarValue<Member>) {
        info.kind = FieldInfo::Kind::list;
      }
      fields.push_back(std::move(info));
    }
  });
}

}  // namespace

Result<void> set_field(RunSpec& spec, std::string_view path, std::string_view value) {
  if (path == "model.preset") return set_preset(spec, "model", value);
  if (path == "cluster.preset") return set_preset(spec, "cluster", value);
  Result<void> assigned;
  const bool found = visit_path(spec, path, [&](const Field& field, auto& member) {
    if constexpr (ScalarValue<std::remove_reference_t<decltype(member)>>) {
      assigned = assign_scalar(field, value, member);
    } else {
      assigned = assign_tree(field, value, member);
    }
  });
  if (!found) return unknown_path(path);
  if (!assigned) {
    return fail(assigned.error().code, fmt::format("{}: {}", path, assigned.error().message),
                assigned.error().hint);
  }
  return {};
}

Result<std::string> get_field(const RunSpec& spec, std::string_view path) {
  if (path == "cluster.preset") return spec.cluster.preset;
  std::string text;
  const bool found = visit_path(spec, path, [&](const Field&, const auto& member) {
    if constexpr (ScalarValue<std::remove_const_t<std::remove_reference_t<decltype(member)>>>) {
      text = scalar_text(member);
    } else {
      text = flow_text(member);
    }
  });
  if (!found) return unknown_path(path);
  return text;
}

const std::vector<FieldInfo>& all_fields() {
  static const std::vector<FieldInfo> kFields = [] {
    std::vector<FieldInfo> collected;
    collect_fields(RunSpec{}, {}, collected);
    return collected;
  }();
  return kFields;
}

}  // namespace tera::spec
