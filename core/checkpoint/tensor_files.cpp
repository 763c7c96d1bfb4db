#include "core/checkpoint/tensor_files.h"

#include <algorithm>
#include <set>
#include <utility>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/base/check.h"
#include "core/base/json_read.h"

namespace tera::checkpoint {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* kSingleName = "model.safetensors";
constexpr const char* kIndexName = "model.safetensors.index.json";
constexpr std::uint64_t kMaxIndexBytes = 16 << 20;
constexpr std::size_t kMaxShardName = 128;

// A plain file name: the index must not lead out of its directory.
bool is_plain(const std::string& name) {
  return !name.empty() && name.size() <= kMaxShardName && name != "." && name != ".." &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  c == '.' || c == '_' || c == '-';
         });
}

// weight_map of the index: tensor -> file name.
Result<std::map<std::string, std::string>> read_index(Vfs& vfs, const fs::path& path) {
  const auto refuse = [&path](std::string_view what) {
    return fail(ErrorCode::corrupt, fmt::format("{}: {}", path.string(), what));
  };
  TERA_TRY(const std::string text, read_text(vfs, path, kMaxIndexBytes));
  const Result<json> index =
      parse_json(text, {.max_bytes = kMaxIndexBytes, .max_depth = 8, .unique_keys = true});
  if (!index) return refuse(index.error().message);
  if (!index->is_object() || !index->contains("weight_map") ||
      !(*index)["weight_map"].is_object() || (*index)["weight_map"].empty()) {
    return refuse("has no weight_map of tensors and their files");
  }
  std::map<std::string, std::string> files;
  for (const auto& [name, value] : (*index)["weight_map"].items()) {
    const std::string file = value.is_string() ? value.get<std::string>() : std::string();
    if (!is_plain(file)) {
      return refuse(fmt::format("weight_map: file {} of tensor {}, expected a plain file name",
                                value.dump().substr(0, 80), name.substr(0, 80)));
    }
    files[name] = file;
  }
  return files;
}

Error no_weights(Vfs& vfs, const fs::path& dir) {
  Error error{ErrorCode::not_found,
              fmt::format("{} holds neither {} nor {}", dir.string(), kSingleName, kIndexName),
              {}};
  const Result<std::vector<std::string>> names = vfs.list(dir);
  const bool pickled =
      names && std::any_of(names->begin(), names->end(), [](const auto& name) {
        return name.ends_with(".bin") || name.ends_with(".pt") || name.ends_with(".pth");
      });
  error.hint = pickled ? "its weights are pickles, which can run code and are not read; save them "
                         "as safetensors with save_pretrained"
                       : "expected the directory that save_pretrained writes";
  return error;
}

}  // namespace

Result<void> TensorFiles::add(SafetensorsFile file) {
  for (std::size_t i = 0; i < file.entries().size(); ++i) {
    const SafetensorsEntry& entry = file.entries()[i];
    if (!places_.emplace(entry.name, Place{files_.size(), i}).second) {
      return fail(ErrorCode::corrupt, fmt::format("{}: tensor {} is in another shard already",
                                                  file.path().string(), entry.name));
    }
    num_bytes_ += entry.num_bytes();
  }
  files_.push_back(std::move(file));
  return {};
}

Result<TensorFiles> TensorFiles::open(Vfs& vfs, const fs::path& dir) {
  TensorFiles files;
  TERA_TRY(const bool single, vfs.exists(dir / kSingleName));
  if (single) {
    TERA_TRY(SafetensorsFile file, SafetensorsFile::open(vfs, dir / kSingleName));
    TERA_TRY_VOID(files.add(std::move(file)));
    return files;
  }
  TERA_TRY(const bool indexed, vfs.exists(dir / kIndexName));
  if (!indexed) return tl::unexpected<Error>(no_weights(vfs, dir));
  TERA_TRY(const auto file_of, read_index(vfs, dir / kIndexName));
  std::set<std::string> names;
  for (const auto& [tensor, file] : file_of)
    names.insert(file);
  for (const std::string& name : names) {
    TERA_TRY(const bool present, vfs.exists(dir / name));
    if (!present) {
      return fail(ErrorCode::not_found,
                  fmt::format("{}: {} is missing, which the index names", dir.string(), name),
                  "fetch the missing file");
    }
    TERA_TRY(SafetensorsFile file, SafetensorsFile::open(vfs, dir / name));
    TERA_TRY_VOID(files.add(std::move(file)));
  }
  for (const auto& [tensor, file] : file_of) {
    const auto at = files.places_.find(tensor);
    if (at != files.places_.end() && files.files_[at->second.file].path().filename() == file)
      continue;
    return fail(ErrorCode::corrupt,
                fmt::format("{}: tensor {} is not in {}, where the index says it is", dir.string(),
                            tensor, file));
  }
  return files;
}

const SafetensorsEntry* TensorFiles::find(const std::string& name) const {
  const auto at = places_.find(name);
  return at == places_.end() ? nullptr : &files_[at->second.file].entries()[at->second.entry];
}

std::vector<std::string> TensorFiles::names() const {
  std::vector<std::string> names;
  for (const auto& [name, place] : places_)
    names.push_back(name);
  return names;
}

Result<std::vector<std::byte>> TensorFiles::read(const std::string& name) const {
  const auto at = places_.find(name);
  TERA_CHECK(at != places_.end(), "tensor files: no tensor {}", name);
  const SafetensorsFile& file = files_[at->second.file];
  return file.read(file.entries()[at->second.entry]);
}

}  // namespace tera::checkpoint
