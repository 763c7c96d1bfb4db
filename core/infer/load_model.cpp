#include "core/infer/load_model.h"

#include <map>
#include <string>

#include <fmt/format.h>

namespace tera::infer {

Result<void> load_weights(const checkpoint::Reader& reader, nn::ParamStore& params) {
  std::map<std::string, checkpoint::TensorInfo> stored;  // weight or master of each parameter
  for (const checkpoint::TensorInfo& info : reader.tensors()) {
    if (info.role == "weight" || info.role == "master") stored.emplace(info.name, info);
  }
  Backend& backend = params.backend();
  for (nn::Param& param : params.params()) {
    const auto found = stored.find(param.spec.name);
    if (found == stored.end()) {
      return fail(ErrorCode::corrupt, fmt::format("checkpoint of step {} lacks tensor {}",
                                                  reader.state().step, param.spec.name));
    }
    checkpoint::TensorInfo wanted = found->second;
    wanted.shape = param.value.shape();  // must agree; the dtype is converted
    Tensor raw = Tensor::empty(backend, param.value.shape(), wanted.dtype, MemoryKind::workspace);
    TERA_TRY_VOID(reader.read(wanted, raw.view().data));
    backend.ops().copy(backend.context(), raw, param.value);
  }
  return {};
}

}  // namespace tera::infer
