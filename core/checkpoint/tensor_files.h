// The safetensors files of a model directory as one set of tensors: one file, or shards with an
// index.
#pragma once
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "core/base/result.h"
#include "core/base/vfs.h"
#include "core/checkpoint/safetensors.h"

namespace tera::checkpoint {

class TensorFiles {
 public:
  // model.safetensors, or the shards that model.safetensors.index.json names. Every header is
  // checked; errors name a missing shard, a name that leaves the directory, a tensor that is in two
  // shards or not where the index says.
  static Result<TensorFiles> open(Vfs& vfs, const std::filesystem::path& dir);

  const SafetensorsEntry* find(const std::string& name) const;         // null when there is none
  std::vector<std::string> names() const;                              // sorted
  Result<std::vector<std::byte>> read(const std::string& name) const;  // must be there
  std::uint64_t num_bytes() const { return num_bytes_; }               // of all tensors

 private:
  struct Place {
    std::size_t file = 0;
    std::size_t entry = 0;
  };
  Result<void> add(SafetensorsFile file);

  std::vector<SafetensorsFile> files_;
  std::map<std::string, Place> places_;
  std::uint64_t num_bytes_ = 0;
};

}  // namespace tera::checkpoint
