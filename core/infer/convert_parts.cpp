#include "core/infer/convert_parts.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace tera::infer {

namespace fs = std::filesystem;

Result<std::map<std::string, std::uint64_t>> files_below(Vfs& vfs, const fs::path& dir) {
  std::map<std::string, std::uint64_t> files;
  TERA_TRY(const std::vector<std::string> names, vfs.list(dir));
  for (const std::string& name : names) {
    if (fs::is_directory(dir / name)) {
      TERA_TRY(const auto below, files_below(vfs, dir / name));
      for (const auto& [path, bytes] : below)
        files[fmt::format("{}/{}", name, path)] = bytes;
    } else {
      TERA_TRY(files[name], vfs.file_size(dir / name));
    }
  }
  return files;
}

std::string source_config(const checkpoint::Reader& reader) {
  const nlohmann::json state = nlohmann::json::parse(reader.state().json, nullptr, false);
  const auto config = state.is_object() ? state.find("hugging_face_config") : state.end();
  return state.is_object() && config != state.end() && config->is_string()
             ? config->get<std::string>()
             : std::string();
}

Result<void> expect_same_logits(const Converted& converted) {
  if (!converted.difference || converted.difference->max_abs_diff == 0) return {};
  return fail(ErrorCode::failed,
              fmt::format("the logits differ by up to {:.3g} (the largest is {:.3g}) although no "
                          "weight was rounded: the result was thrown away",
                          converted.difference->max_abs_diff, converted.difference->max_abs),
              "this is a bug: please report it with the model's config.json");
}

}  // namespace tera::infer
