#include "core/checkpoint/hugging_face_writer.h"

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/base/check.h"
#include "core/base/units.h"
#include "core/checkpoint/element_convert.h"
#include "core/checkpoint/hugging_face_names.h"
#include "core/checkpoint/safetensors.h"

namespace tera::checkpoint {
namespace {

namespace fs = std::filesystem;

// One tensor of the files: its parameter and which part of it.
struct Source {
  const ForeignParam* param = nullptr;
  const ForeignTensor* tensor = nullptr;
};

// The tensors of one file, in the order they were planned.
struct Shard {
  std::vector<SafetensorsEntry> entries;
  std::uint64_t num_bytes = 0;
};

class Writer {
 public:
  Writer(Vfs& vfs,
         const fs::path& dir,
         const Reader& reader,
         const HuggingFaceWriteOptions& options,
         const std::vector<TensorInfo>& stored,
         std::vector<ForeignParam> params,
         std::vector<TensorCopy> copies)
      : vfs_(vfs),
        dir_(dir),
        reader_(reader),
        options_(options),
        params_(std::move(params)),
        copies_(std::move(copies)) {
    for (const TensorInfo& info : stored)
      stored_.emplace(info.name, info);
  }

  Result<void> write(const std::string& config_json) {
    TERA_TRY_VOID(check_stored());
    std::vector<Shard> shards = plan();
    TERA_TRY_VOID(check_space());
    TERA_TRY_VOID(write_file_atomic(vfs_, dir_ / "config.json", config_json));
    nlohmann::json weight_map;
    for (std::size_t i = 0; i < shards.size(); ++i) {
      const std::string name = shards.size() == 1 ? "model.safetensors"
                                                  : fmt::format("model-{:05}-of-{:05}.safetensors",
                                                                i + 1, shards.size());
      for (const SafetensorsEntry& entry : shards[i].entries)
        weight_map[entry.name] = name;
      TERA_TRY_VOID(
          write_safetensors(vfs_, dir_ / name, std::move(shards[i].entries), {{"format", "pt"}},
                            [this](const SafetensorsEntry& entry) { return data_of(entry); }));
    }
    if (shards.size() == 1) return {};
    const nlohmann::json index = {{"metadata", {{"total_size", total_bytes_}}},
                                  {"weight_map", std::move(weight_map)}};
    return write_file_atomic(vfs_, dir_ / "model.safetensors.index.json", index.dump(2) + "\n");
  }

 private:
  Result<void> check_stored() const {
    for (const ForeignParam& param : params_) {
      const auto at = stored_.find(param.spec.name);
      if (at == stored_.end()) {
        return fail(ErrorCode::corrupt, fmt::format("checkpoint of step {} lacks tensor {}",
                                                    reader_.state().step, param.spec.name));
      }
      if (at->second.shape != param.spec.shape) {
        return fail(
            ErrorCode::corrupt,
            fmt::format("checkpoint of step {}: {} is [{}], expected [{}]", reader_.state().step,
                        param.spec.name, fmt::join(at->second.shape, ", "),
                        fmt::join(param.spec.shape, ", ")));
      }
    }
    return {};
  }

  // Biases that are no parameters stay f32, as the library keeps them.
  DType dtype_of(const ForeignParam& param) const {
    return options_.bf16 && param.spec.trainable ? DType::bf16 : DType::f32;
  }

  const std::vector<ForeignTensor>& arrangement(const ForeignParam& param) const {
    const bool fused = options_.fused_experts &&
                       (param.spec.is_expert() || param.spec.kind == plan::ParamKind::router);
    return fused ? param.arrangements.back() : param.arrangements.front();
  }

  // Cuts the model into files, in the order of its layers; copies of tensors come last.
  std::vector<Shard> plan() {
    std::vector<Shard> shards(1);
    for (const ForeignParam& param : params_) {
      for (const ForeignTensor& tensor : arrangement(param))
        add(tensor.name, {&param, &tensor}, shards);
    }
    for (const TensorCopy& copy : copies_) {
      if (copy.required) add(copy.name, sources_.at(copy.of), shards);
    }
    return shards;
  }

  void add(const std::string& name, const Source& source, std::vector<Shard>& shards) {
    sources_[name] = source;
    const DType dtype = dtype_of(*source.param);
    SafetensorsEntry entry{.name = name,
                           .dtype = std::string(safetensors_dtype(dtype)),
                           .shape = source.tensor->shape};
    std::uint64_t bytes = static_cast<std::uint64_t>(dtype_bytes(dtype));
    for (const std::int64_t dim : entry.shape)
      bytes *= static_cast<std::uint64_t>(dim);
    if (shards.back().num_bytes > 0 && shards.back().num_bytes + bytes > options_.max_shard_bytes)
      shards.emplace_back();
    shards.back().num_bytes += bytes;
    total_bytes_ += bytes;
    shards.back().entries.push_back(std::move(entry));
  }

  Result<void> check_space() {
    constexpr std::uint64_t kPerTensor = 512;  // headers and index, generously
    const std::uint64_t needed = total_bytes_ + sources_.size() * kPerTensor + 65536;
    TERA_TRY(const std::uint64_t available, vfs_.free_bytes(dir_));
    if (available >= needed) return {};
    return fail(ErrorCode::io,
                fmt::format("cannot write the model to {}: needs {}, {} free", dir_.string(),
                            format_bytes(static_cast<double>(needed)),
                            format_bytes(static_cast<double>(available))),
                "free space on this file system, or choose another directory");
  }

  // The bytes of one tensor of the files, valid until the next call.
  Result<std::span<const std::byte>> data_of(const SafetensorsEntry& entry) {
    const Source& source = sources_.at(entry.name);
    TERA_TRY(const std::vector<std::byte>* param, load(*source.param));
    const std::vector<std::int64_t>& shape = source.param->spec.shape;
    piece_.resize(entry.num_bytes());
    take_rows(*source.tensor, *param, shape.size() == 1 ? 1 : shape.back(),
              dtype_bytes(dtype_of(*source.param)), piece_);
    done_bytes_ += entry.num_bytes();
    if (options_.progress && !options_.progress(static_cast<std::int64_t>(done_bytes_),
                                                static_cast<std::int64_t>(total_bytes_))) {
      return fail(ErrorCode::failed, "stopped before the model was written");
    }
    return std::span<const std::byte>(piece_);
  }

  // A parameter in its type of the files. Those of the layer being written stay loaded: the order
  // of a file goes back and forth between the parameters of a layer.
  Result<const std::vector<std::byte>*> load(const ForeignParam& param) {
    if (param.spec.layer != loaded_layer_) loaded_.clear();
    loaded_layer_ = param.spec.layer;
    const auto at = loaded_.find(param.spec.name);
    if (at != loaded_.end()) return &at->second;
    const TensorInfo& info = stored_.at(param.spec.name);
    std::vector<std::byte> bytes(static_cast<std::size_t>(info.num_bytes()));
    TERA_TRY_VOID(reader_.read(info, bytes.data()));
    if (info.dtype != dtype_of(param)) bytes = convert_elements(bytes, info.dtype, dtype_of(param));
    return &(loaded_[param.spec.name] = std::move(bytes));
  }

  Vfs& vfs_;
  const fs::path& dir_;
  const Reader& reader_;
  const HuggingFaceWriteOptions& options_;
  std::vector<ForeignParam> params_;
  std::vector<TensorCopy> copies_;
  std::map<std::string, TensorInfo> stored_;  // what is written of each parameter
  std::map<std::string, Source> sources_;     // by name in the files
  std::uint64_t total_bytes_ = 0;
  std::uint64_t done_bytes_ = 0;

  std::map<std::string, std::vector<std::byte>> loaded_;
  int loaded_layer_ = -1;
  std::vector<std::byte> piece_;
};

}  // namespace

Result<void> write_hugging_face(Vfs& vfs,
                                const fs::path& dir,
                                const Reader& reader,
                                const spec::HuggingFaceExport& config,
                                const HuggingFaceWriteOptions& options) {
  TERA_TRY(const std::vector<TensorInfo> stored, stored_weights(reader, options.weights));
  // Rotary rows of latent attention are written in pairs, as published models have them.
  Writer writer(vfs, dir, reader, options, stored,
                hugging_face_params(config.model, config.family, true),
                hugging_face_copies(config.model, config.family));
  return writer.write(config.config_json);
}

}  // namespace tera::checkpoint
