#include "core/nn/param_store.h"

#include <algorithm>
#include <cmath>

#include "core/base/check.h"
#include "core/base/rng.h"
#include "kernels/bf16.h"

namespace tera::nn {
namespace {

DType value_dtype(const plan::ParamSpec& spec, DType compute) {
  return spec.always_f32 && compute == DType::bf16 ? DType::f32 : compute;
}

void store_value(const Tensor& tensor, std::int64_t i, float value) {
  switch (tensor.dtype()) {
    case DType::f64:
      tensor.data<double>()[i] = static_cast<double>(value);
      return;
    case DType::bf16:
      tensor.data<kernels::Bf16>()[i] = kernels::Bf16(value);
      return;
    default:
      tensor.data<float>()[i] = value;
  }
}

void fill(const Tensor& tensor, float value) {
  for (std::int64_t i = 0; i < tensor.num_elements(); ++i)
    store_value(tensor, i, value);
}

// Element i is half i % 2 of the normal pair i / 2, so any part of a tensor can be made alone.
void fill_normal(Backend& backend, const Tensor& tensor, double std, const Philox& random) {
  constexpr std::int64_t kBlock = std::int64_t{1} << 16;  // even: no pair is cut
  const std::int64_t n = tensor.num_elements();
  backend.context().executor->parallel_for(
      (n + kBlock - 1) / kBlock, [&](std::int64_t block, int /*worker*/) {
        const std::int64_t end = std::min(n, (block + 1) * kBlock);
        for (std::int64_t i = block * kBlock; i < end; i += 2) {
          const auto pair = random.normal2(0, static_cast<std::uint64_t>(i / 2));
          store_value(tensor, i, static_cast<float>(std * pair[0]));
          if (i + 1 < end) store_value(tensor, i + 1, static_cast<float>(std * pair[1]));
        }
      });
}

}  // namespace

ParamStore::ParamStore(Backend& backend, const plan::ParamTable& table, ParamStoreOptions options)
    : backend_(&backend), options_(options) {
  TERA_CHECK(options.compute == DType::f32 || options.compute == DType::bf16 ||
                 options.compute == DType::f64,
             "parameters in {}, expected f32, bf16 or f64", dtype_name(options.compute));
  params_.reserve(table.size());
  for (const plan::ParamSpec& spec : table) {
    Param param;
    param.spec = spec;
    param.value =
        Tensor::zeros(backend, spec.shape, value_dtype(spec, options.compute), MemoryKind::weights);
    if (options.gradients && spec.trainable) {
      param.grad = Tensor::zeros(backend, spec.shape, kernels::accumulate_dtype(options.compute),
                                 MemoryKind::gradients);
    }
    params_.push_back(std::move(param));
  }
}

Param& ParamStore::get(const std::string& name) {
  const auto found = std::find_if(params_.begin(), params_.end(),
                                  [&](const Param& p) { return p.spec.name == name; });
  TERA_CHECK(found != params_.end(), "no parameter '{}' among {}", name, params_.size());
  return *found;
}

bool ParamStore::has(const std::string& name) const {
  return std::any_of(params_.begin(), params_.end(),
                     [&](const Param& p) { return p.spec.name == name; });
}

void ParamStore::zero_grads() {
  for (const Param& param : params_) {
    if (param.grad.present()) backend_->ops().zero(backend_->context(), param.grad);
  }
}

void init_params(ParamStore& store, const spec::ModelConfig& model, std::uint64_t seed) {
  const double residual_scale = 1.0 / std::sqrt(2.0 * model.num_layers);
  for (const Param& param : store.params()) {
    const Philox random(seed, RngPurpose::init, name_hash(param.spec.name));
    switch (param.spec.init) {
      case plan::ParamInit::normal:
        fill_normal(store.backend(), param.value, model.init_std, random);
        break;
      case plan::ParamInit::scaled_normal:
        fill_normal(store.backend(), param.value, model.init_std * residual_scale, random);
        break;
      case plan::ParamInit::ones:
        fill(param.value, 1.0F);
        break;
      case plan::ParamInit::zeros:
        fill(param.value, 0.0F);
        break;
    }
  }
}

}  // namespace tera::nn
