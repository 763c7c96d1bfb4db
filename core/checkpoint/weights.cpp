#include "core/checkpoint/weights.h"

#include <map>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/checkpoint/manifest.h"

namespace tera::checkpoint {

namespace fs = std::filesystem;

Result<Reader> open_weights(Vfs& vfs, const fs::path& path, std::vector<std::string>& skipped) {
  TERA_TRY(const bool is_checkpoint, vfs.exists(path / kCommitName));
  if (is_checkpoint) return Reader::open(vfs, path);
  TERA_TRY(const bool has_checkpoints, vfs.exists(path / "ckpt"));
  if (has_checkpoints) return open_latest_valid(vfs, path / "ckpt", skipped);
  return fail(ErrorCode::not_found, fmt::format("{} is not a checkpoint", path.string()),
              "name a step-... directory, a run directory, or a model `teragpt convert` made");
}

std::optional<BaseReference> base_of(const Reader& reader) {
  const nlohmann::json state = nlohmann::json::parse(reader.state().json, nullptr, false);
  if (!state.is_object() || !state.contains("base")) return std::nullopt;
  const nlohmann::json& base = state["base"];
  const auto text = [&base](const char* key) {
    return base.is_object() && base.contains(key) && base[key].is_string()
               ? base[key].get<std::string>()
               : std::string();
  };
  return BaseReference{.path = text("path"), .content_hash = text("content_hash")};
}

Result<Reader> open_base(const Reader& adapters) {
  const BaseReference base = base_of(adapters).value_or(BaseReference{});
  Result<Reader> reader = Reader::open(adapters.vfs(), base.path);
  if (!reader) {
    return fail(reader.error().code,
                fmt::format("{} holds adapters of {}, which cannot be read: {}",
                            adapters.path().string(), base.path, reader.error().message),
                "put the checkpoint it was trained on back");
  }
  if (reader->content_hash() != base.content_hash) {
    return fail(
        ErrorCode::invalid_input,
        fmt::format("{} holds adapters of {}, which has changed since: content {} then, {} "
                    "now",
                    adapters.path().string(), base.path, base.content_hash, reader->content_hash()),
        "put the checkpoint it was trained on back");
  }
  return reader;
}

Result<void> refuse_adapters(const Reader& reader) {
  if (!base_of(reader)) return {};
  return fail(ErrorCode::invalid_input,
              fmt::format("{} holds adapters, not a whole model", reader.path().string()),
              "merge them first: teragpt ckpt merge RUN -o DIR");
}

std::vector<TensorInfo> stored_weights(const Reader& reader) {
  std::vector<TensorInfo> weights;
  for (const TensorInfo& info : reader.tensors()) {
    if (info.role == "weight" || info.role == "master") weights.push_back(info);
  }
  return weights;
}

Result<std::vector<TensorInfo>> stored_weights(const Reader& reader, WeightSet set) {
  std::vector<TensorInfo> weights = stored_weights(reader);
  if (set == WeightSet::trained) return weights;
  std::map<std::string, TensorInfo> means;
  for (const TensorInfo& info : reader.tensors()) {
    if (info.role == "ema") means.emplace(info.name, info);
  }
  if (means.empty()) {
    return fail(ErrorCode::not_found,
                fmt::format("checkpoint of step {} has no running mean of the weights",
                            reader.state().step),
                "train with training.ema_decay, for example 0.999, or take the weights as trained");
  }
  for (TensorInfo& weight : weights) {
    const auto mean = means.find(weight.name);
    if (mean != means.end()) weight = mean->second;
  }
  return weights;
}

Result<void> read_weight(const Reader& reader, const TensorInfo& stored, const Tensor& value) {
  const ElementRun all{.count = value.num_elements()};
  return read_weight(reader, stored, value.shape(), std::span(&all, 1), value);
}

Result<void> read_weight(const Reader& reader,
                         const TensorInfo& stored,
                         const std::vector<std::int64_t>& shape,
                         std::span<const ElementRun> runs,
                         const Tensor& part) {
  if (stored.shape != shape) {
    return fail(ErrorCode::invalid_input,
                fmt::format("checkpoint {}: {} is [{}], the model has [{}]", reader.path().string(),
                            stored.name, fmt::join(stored.shape, ", "), fmt::join(shape, ", ")));
  }
  if (stored.dtype == part.dtype()) return reader.read(stored, runs, part.view().data);
  const Tensor raw =
      Tensor::zeros(part.backend(), part.shape(), stored.dtype, MemoryKind::workspace);
  TERA_TRY_VOID(reader.read(stored, runs, raw.view().data));
  part.backend().ops().copy(part.backend().context(), raw, part);
  return {};
}

}  // namespace tera::checkpoint
