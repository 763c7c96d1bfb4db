#include "core/nn/param_store.h"

#include <algorithm>
#include <cmath>
#include <span>

#include "core/base/check.h"
#include "core/base/rng.h"
#include "core/plan/parametrization.h"

namespace tera::nn {
namespace {

DType value_dtype(const plan::ParamSpec& spec, DType compute) {
  return spec.always_f32 && compute != DType::f64 ? DType::f32 : compute;
}

// Value of element i, for i in [begin, end), into to[0 ...]; begin is even.
using Fill = std::function<void(std::int64_t begin, std::int64_t end, float* to)>;

// Makes the values in f32 and rounds them to the tensor's dtype, part by part.
void fill_from_f32(Backend& backend, const Tensor& tensor, const Fill& fill) {
  constexpr std::int64_t kPart = std::int64_t{1} << 22;
  constexpr std::int64_t kBlock = std::int64_t{1} << 15;
  const std::int64_t n = tensor.num_elements();
  const Tensor flat = tensor.reshape({n});
  for (std::int64_t begin = 0; begin < n; begin += kPart) {
    const std::int64_t end = std::min(n, begin + kPart);
    const Tensor target = flat.slice(0, begin, end);
    const bool direct = tensor.dtype() == DType::f32;
    const Tensor made =
        direct ? target : Tensor::empty(backend, {end - begin}, DType::f32, MemoryKind::workspace);
    backend.context().executor->parallel_for(
        (end - begin + kBlock - 1) / kBlock, [&](std::int64_t block, int /*worker*/) {
          const std::int64_t from = begin + block * kBlock;
          fill(from, std::min(end, from + kBlock), made.data<float>() + block * kBlock);
        });
    if (!direct) backend.ops().copy(backend.context(), made, target);
  }
}

Fill constant(float value) {
  return [value](std::int64_t begin, std::int64_t end, float* to) {
    std::fill(to, to + (end - begin), value);
  };
}

// Element i is half i % 2 of the normal pair i / 2, so any part of a tensor can be made alone.
Fill normal(double std, const Philox& random) {
  return [std, random](std::int64_t begin, std::int64_t end, float* to) {
    random.normals(0, static_cast<std::uint64_t>(begin / 2), std,
                   std::span(to, static_cast<std::size_t>(end - begin)));
  };
}

// Word i % 4 of counter i / 4, as 24 bits in [0, 1), spread over [-bound, bound).
Fill uniform(double bound, const Philox& random) {
  return [bound, random](std::int64_t begin, std::int64_t end, float* to) {
    for (std::int64_t i = begin; i < end; ++i) {
      const std::uint32_t word =
          random.words(0, static_cast<std::uint64_t>(i / 4))[static_cast<std::size_t>(i % 4)];
      const double unit = static_cast<double>(word >> 8) * 0x1.0p-24;
      to[i - begin] = static_cast<float>(bound * (2.0 * unit - 1.0));
    }
  };
}

}  // namespace

const Tensor& Param::gradient() {
  const Target target = product_target();
  if (!target.accumulate) value.backend().ops().zero(value.backend().context(), grad);
  return grad;
}

Param::Target Param::product_target() {
  TERA_CHECK(trained, "gradient of '{}', which is not trained", spec.name);
  const bool accumulate = grad.present();
  if (!accumulate) {
    grad = Tensor::empty(value.backend(), spec.shape, kernels::accumulate_dtype(value.dtype()),
                         MemoryKind::gradients);
  }
  return {grad, accumulate};
}

ParamStore::ParamStore(Backend& backend, const plan::ParamTable& table, ParamStoreOptions options)
    : backend_(&backend), options_(options) {
  TERA_CHECK(options.compute == DType::f32 || options.compute == DType::bf16 ||
                 options.compute == DType::f16 || options.compute == DType::f64,
             "parameters in {}, expected f32, bf16, f16 or f64", dtype_name(options.compute));
  params_.reserve(table.size());
  for (const plan::ParamSpec& spec : table) {
    Param param;
    param.spec = spec;
    param.value =
        Tensor::zeros(backend, spec.shape, value_dtype(spec, options.compute), MemoryKind::weights);
    param.trained = options.gradients && spec.trainable;
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
  for (Param& param : params_)
    param.grad = {};
}

void ParamStore::settle_grads() {
  for (Param& param : params_) {
    if (param.trained) param.gradient();
  }
}

void init_params(ParamStore& store, const spec::ModelConfig& model, std::uint64_t seed) {
  for (const Param& param : store.params()) {
    const Philox random(seed, RngPurpose::init, name_hash(param.spec.name));
    Fill fill;
    switch (param.spec.init) {
      case plan::ParamInit::normal:
      case plan::ParamInit::scaled_normal:
        fill = normal(plan::init_std(param.spec, model), random);
        break;
      case plan::ParamInit::kaiming_uniform:
        fill = uniform(1.0 / std::sqrt(static_cast<double>(param.spec.shape.back())), random);
        break;
      case plan::ParamInit::ones:
        fill = constant(1.0F);
        break;
      case plan::ParamInit::zeros:
        fill = constant(0.0F);
        break;
    }
    fill_from_f32(store.backend(), param.value, fill);
  }
}

}  // namespace tera::nn
