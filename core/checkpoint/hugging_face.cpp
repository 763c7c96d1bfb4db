#include "core/checkpoint/hugging_face.h"

#include <algorithm>
#include <cstring>
#include <numeric>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "core/base/check.h"
#include "core/checkpoint/element_convert.h"

namespace tera::checkpoint {
namespace {

namespace fs = std::filesystem;

constexpr const char* kConfigName = "config.json";
constexpr std::uint64_t kMaxConfigBytes = 1 << 20;
constexpr std::size_t kMostNames = 5;  // in one message
constexpr std::string_view kScaleEnd = "_scale_inv";

std::int64_t num_columns(const std::vector<std::int64_t>& shape) {
  return shape.size() == 1 ? 1 : shape.back();
}

std::string listed(const std::vector<std::string>& names) {
  const auto shown =
      names.begin() + static_cast<std::ptrdiff_t>(std::min(kMostNames, names.size()));
  std::string text = fmt::format("{}", fmt::join(names.begin(), shown, ", "));
  if (shown != names.end()) text += fmt::format(" and {} more", names.end() - shown);
  return text;
}

// "[2, 17]" of the element with this index.
std::string element_name(std::int64_t index, const std::vector<std::int64_t>& shape) {
  std::vector<std::int64_t> at(shape.size());
  for (std::size_t dim = shape.size(); dim-- > 0;) {
    at[dim] = index % shape[dim];
    index /= shape[dim];
  }
  return fmt::format("[{}]", fmt::join(at, ", "));
}

bool is_weight_type(DType dtype, bool fp8) {
  return dtype == DType::f32 || dtype == DType::bf16 || dtype == DType::f16 ||
         dtype == DType::f64 || (fp8 && dtype == DType::fp8_e4m3);
}

// All problems of the tensors of a directory, so that one message tells the whole story.
struct TensorProblems {
  std::vector<std::string> missing, unexpected, wrong;
  bool gave_up = false;  // on looking for the rest: more may be missing

  Result<void> status(const fs::path& dir, std::string_view family) const {
    if (missing.empty() && unexpected.empty() && wrong.empty()) return {};
    std::string text;
    const auto add = [&text](std::string_view what, const std::vector<std::string>& names) {
      if (names.empty()) return;
      const bool first = text.empty() || text.ends_with(' ');
      text += fmt::format("{}{} {}: {}", first ? "" : "; ", names.size(), what, listed(names));
    };
    if (gave_up) text = "at least ";
    add(missing.size() == 1 ? "tensor is missing" : "tensors are missing", missing);
    add(unexpected.size() == 1 ? "tensor is not expected" : "tensors are not expected", unexpected);
    add("of another shape or type", wrong);
    return fail(ErrorCode::invalid_input,
                fmt::format("{}: the weights are not those of the {} in {}: {}", dir.string(),
                            family, kConfigName, text));
  }
};

// Checks one tensor against what the configuration asks for.
void check_tensor(const ForeignTensor& wanted,
                  const SafetensorsEntry& entry,
                  bool fp8,
                  TensorProblems& problems) {
  const std::optional<DType> dtype = dtype_from_safetensors(entry.dtype);
  if (entry.shape != wanted.shape) {
    problems.wrong.push_back(fmt::format("{} is [{}], expected [{}]", entry.name,
                                         fmt::join(entry.shape, ", "),
                                         fmt::join(wanted.shape, ", ")));
  } else if (!dtype || !is_weight_type(*dtype, fp8)) {
    problems.wrong.push_back(
        fmt::format("{} is {}, expected a floating-point type", entry.name, entry.dtype));
  }
}

}  // namespace

Result<HuggingFaceModel> HuggingFaceModel::open(Vfs& vfs, const fs::path& dir) {
  HuggingFaceModel model;
  model.dir_ = dir;
  constexpr const char* kExpected = "expected the directory that save_pretrained writes";
  TERA_TRY(const bool exists, vfs.exists(dir));
  if (!exists)
    return fail(ErrorCode::not_found, fmt::format("there is no folder {}", dir.string()),
                kExpected);
  TERA_TRY(const bool present, vfs.exists(dir / kConfigName));
  if (!present) {
    return fail(ErrorCode::not_found, fmt::format("{} holds no {}", dir.string(), kConfigName),
                kExpected);
  }
  TERA_TRY(model.config_text_, read_text(vfs, dir / kConfigName, kMaxConfigBytes));
  model.config_ = spec::parse_hugging_face_config(model.config_text_);
  std::string errors;
  std::string hint;
  for (const Diagnostic& d : model.config_.diagnostics) {
    if (d.severity != Severity::error) {
      model.notes_.push_back(d);
      continue;
    }
    errors += fmt::format("{}{}{}{}", errors.empty() ? "" : "; ", d.field,
                          d.field.empty() ? "" : ": ", d.message);
    if (hint.empty()) hint = d.hint;
  }
  if (!errors.empty()) {
    return fail(ErrorCode::invalid_input,
                fmt::format("{}: {}", (dir / kConfigName).string(), errors), hint);
  }
  TERA_TRY(model.files_, TensorFiles::open(vfs, dir));
  model.drop_missing_prediction();
  TERA_TRY_VOID(model.find_tensors());
  TERA_TRY_VOID(model.check_copies());
  return model;
}

// Files often lack the layers of multi-token prediction that the configuration counts: the library
// does not write them.
void HuggingFaceModel::drop_missing_prediction() {
  spec::ModelConfig& model = config_.model;
  const std::string layer = fmt::format("model.layers.{}.", model.num_layers);
  const std::vector<std::string> names = files_.names();
  if (model.num_mtp_layers == 0 || std::any_of(names.begin(), names.end(), [&](const auto& name) {
        return name.starts_with(layer);
      })) {
    return;
  }
  notes_.push_back(
      {.severity = Severity::note,
       .field = "num_nextn_predict_layers",
       .message = fmt::format("{} is left out: the files hold no {}*", model.num_mtp_layers, layer),
       .hint = {}});
  model.num_mtp_layers = 0;
}

Result<void> HuggingFaceModel::find_tensors() {
  const bool fp8 = config_.fp8_block_size > 0;
  TensorProblems problems;
  std::set<std::string> used;
  const std::vector<std::string> names = files_.names();
  const auto find = [&](const ForeignParam& param) {
    const auto chosen = std::find_if(
        param.arrangements.begin(), param.arrangements.end(),
        [this](const auto& parts) { return files_.find(parts.front().name) != nullptr; });
    const std::vector<ForeignTensor>& parts =
        chosen != param.arrangements.end() ? *chosen : param.arrangements.front();
    bool all_bf16 = true;
    for (const ForeignTensor& tensor : parts) {
      const SafetensorsEntry* entry = files_.find(tensor.name);
      if (entry == nullptr) {
        problems.missing.push_back(tensor.name);
        continue;
      }
      used.insert(tensor.name);
      check_tensor(tensor, *entry, fp8, problems);
      all_bf16 = all_bf16 && (entry->dtype == "BF16" || entry->dtype == "F8_E4M3");
      if (entry->dtype != "F8_E4M3") continue;
      const ForeignTensor scale{
          .name = tensor.name + std::string(kScaleEnd),
          .shape = block_scales_shape(tensor.shape, std::max(1, config_.fp8_block_size))};
      const SafetensorsEntry* scales = files_.find(scale.name);
      if (scales == nullptr) {
        problems.missing.push_back(scale.name);
      } else {
        used.insert(scale.name);
        check_tensor(scale, *scales, false, problems);
      }
    }
    infos_.push_back({.name = param.spec.name,
                      .role = "weight",
                      .dtype = all_bf16 ? DType::bf16 : DType::f32,
                      .shape = param.spec.shape});
    parts_[param.spec.name] = parts;
    // A configuration may count far more layers and experts than files could hold.
    problems.gave_up = problems.missing.size() > names.size();
    return !problems.gave_up;
  };
  visit_hugging_face_params(config_.model, config_.family, config_.rope_interleaved, find);
  if (problems.gave_up) return problems.status(dir_, enum_name(config_.family));
  for (const TensorCopy& copy : hugging_face_copies(config_.model, config_.family))
    used.insert(copy.name);
  for (const std::string& name : names) {
    if (!used.contains(name) && !is_derived_tensor(name)) problems.unexpected.push_back(name);
  }
  return problems.status(dir_, enum_name(config_.family));
}

// A file may hold the head although it is the embedding; then both must be the same.
Result<void> HuggingFaceModel::check_copies() const {
  for (const TensorCopy& copy : hugging_face_copies(config_.model, config_.family)) {
    if (files_.find(copy.name) == nullptr || files_.find(copy.of) == nullptr) continue;
    TERA_TRY(const std::vector<std::byte> a, files_.read(copy.name));
    TERA_TRY(const std::vector<std::byte> b, files_.read(copy.of));
    if (a != b) {
      return fail(ErrorCode::invalid_input,
                  fmt::format("{}: {} differs from {}, which the model shares", dir_.string(),
                              copy.name, copy.of),
                  config_.model.tie_embeddings
                      ? "set tie_word_embeddings to false in config.json if it is its own matrix"
                      : "");
    }
  }
  return {};
}

Result<std::vector<std::byte>> HuggingFaceModel::read_tensor(const ForeignTensor& tensor,
                                                             DType dtype) const {
  const SafetensorsEntry& entry = *files_.find(tensor.name);
  const DType stored = *dtype_from_safetensors(entry.dtype);
  TERA_TRY(std::vector<std::byte> bytes, files_.read(tensor.name));
  if (stored == DType::fp8_e4m3) {
    const std::string scale_name = tensor.name + std::string(kScaleEnd);
    TERA_TRY(const std::vector<std::byte> raw, files_.read(scale_name));
    const std::vector<std::byte> scales =
        convert_elements(raw, *dtype_from_safetensors(files_.find(scale_name)->dtype), DType::f32);
    bytes = convert_elements(bytes, stored, DType::f32);
    scale_blocks({reinterpret_cast<float*>(bytes.data()), bytes.size() / sizeof(float)},
                 tensor.shape,
                 {reinterpret_cast<const float*>(scales.data()), scales.size() / sizeof(float)},
                 config_.fp8_block_size);
    bytes = convert_elements(bytes, DType::f32, dtype);
  } else if (stored != dtype) {
    bytes = convert_elements(bytes, stored, dtype);
  }
  if (const std::optional<std::int64_t> bad = first_not_finite(bytes, dtype)) {
    return fail(ErrorCode::invalid_input,
                fmt::format("{}: {}{} is not a finite number", dir_.string(), tensor.name,
                            element_name(*bad, tensor.shape)),
                "the weights are damaged, or training them diverged");
  }
  return bytes;
}

Result<std::vector<std::byte>> HuggingFaceModel::read(const TensorInfo& info) const {
  const auto parts = parts_.find(info.name);
  TERA_CHECK(parts != parts_.end(), "{}: no parameter {}", dir_.string(), info.name);
  std::vector<std::byte> param(static_cast<std::size_t>(info.num_bytes()));
  for (const ForeignTensor& tensor : parts->second) {
    TERA_TRY(const std::vector<std::byte> bytes, read_tensor(tensor, info.dtype));
    place_rows(tensor, bytes, num_columns(info.shape), dtype_bytes(info.dtype), param);
  }
  return param;
}

}  // namespace tera::checkpoint
