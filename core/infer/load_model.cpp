#include "core/infer/load_model.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "core/base/check.h"
#include "core/checkpoint/weights.h"

namespace tera::infer {

namespace {

using Stored = std::map<std::string, checkpoint::TensorInfo>;

Stored by_name(const std::vector<checkpoint::TensorInfo>& weights) {
  Stored stored;
  for (const checkpoint::TensorInfo& info : weights)
    stored.emplace(info.name, info);
  return stored;
}

bool is_adapter(const nn::Param& param) {
  return param.spec.adapts.has_value();
}

// The adapters of the store, or everything else.
Result<void> fill(const checkpoint::Reader& reader,
                  const Stored& stored,
                  nn::ParamStore& params,
                  bool adapters) {
  for (nn::Param& param : params.params()) {
    if (is_adapter(param) != adapters) continue;
    const auto found = stored.find(param.spec.name);
    if (found == stored.end()) {
      return fail(ErrorCode::corrupt, fmt::format("checkpoint of step {} lacks tensor {}",
                                                  reader.state().step, param.spec.name));
    }
    TERA_TRY_VOID(checkpoint::read_weight(reader, found->second, param.value));
  }
  return {};
}

}  // namespace

Result<void> load_weights(const checkpoint::Reader& reader, nn::ParamStore& params, WeightSet set) {
  TERA_TRY(const std::vector<checkpoint::TensorInfo> weights,
           checkpoint::stored_weights(reader, set));
  const Stored stored = by_name(weights);
  const bool with_adapters =
      std::any_of(params.params().begin(), params.params().end(), is_adapter);
  if (!with_adapters) {
    TERA_TRY_VOID(checkpoint::refuse_adapters(reader));
    return fill(reader, stored, params, false);
  }
  TERA_TRY(const checkpoint::Reader base, checkpoint::open_base(reader));
  TERA_TRY_VOID(fill(base, by_name(checkpoint::stored_weights(base)), params, false));
  return fill(reader, stored, params, true);
}

Result<void> load_weights(const checkpoint::HuggingFaceModel& model, nn::ParamStore& params) {
  Backend& backend = params.backend();
  for (const checkpoint::TensorInfo& info : model.tensors()) {
    const Tensor& value = params.get(info.name).value;
    TERA_CHECK(value.shape() == info.shape, "{} is [{}], expected [{}]", info.name,
               fmt::join(value.shape(), ", "), fmt::join(info.shape, ", "));
    TERA_TRY(const std::vector<std::byte> bytes, model.read(info));
    const Tensor raw = Tensor::empty(backend, info.shape, info.dtype, MemoryKind::workspace);
    std::memcpy(raw.view().data, bytes.data(), bytes.size());
    backend.ops().copy(backend.context(), raw, value);
  }
  return {};
}

}  // namespace tera::infer
