#include "core/checkpoint/saved_spec.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/spec/yaml.h"

namespace tera::checkpoint {

Result<spec::RunSpec> saved_spec(const Reader& reader) {
  const nlohmann::json document = nlohmann::json::parse(reader.state().json, nullptr, false);
  if (!document.is_object() || !document.contains("spec") || !document["spec"].is_string()) {
    return fail(ErrorCode::corrupt,
                fmt::format("checkpoint of step {} holds no spec", reader.state().step),
                "it was not written by `teragpt train`");
  }
  spec::ParsedSpec parsed = spec::parse_run_spec(document["spec"].get<std::string>());
  if (!parsed.ok()) {
    return fail(
        ErrorCode::corrupt,
        fmt::format("checkpoint of step {}: its spec does not parse: {}: {}", reader.state().step,
                    parsed.diagnostics.front().field, parsed.diagnostics.front().message));
  }
  return std::move(parsed.spec);
}

}  // namespace tera::checkpoint
