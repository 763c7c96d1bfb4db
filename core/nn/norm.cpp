#include "core/nn/norm.h"

namespace tera::nn {

Norm::Norm(ParamStore& store, const std::string& name, kernels::NormType type, double eps)
    : backend_(&store.backend()), type_(type), eps_(eps), weight_(&store.get(name + ".weight")) {
  if (store.has(name + ".bias")) bias_ = &store.get(name + ".bias");
}

void Norm::forward(const Tensor& x, const Tensor& y, const Statistics& statistics) const {
  backend_->ops().norm_forward(backend_->context(), type_, x, weight_->value,
                               bias_ != nullptr ? bias_->value.view() : kernels::View{}, eps_, y,
                               statistics.rstd, statistics.mean);
}

void Norm::backward_input(const Tensor& dy,
                          const Tensor& x,
                          const Statistics& statistics,
                          const Tensor& dx) const {
  backend_->ops().norm_backward_input(backend_->context(), type_, dy, x, weight_->value,
                                      statistics.rstd, statistics.mean, dx, false);
}

void Norm::backward_weight(const Tensor& dy, const Tensor& x, const Statistics& statistics) {
  backend_->ops().norm_backward_weight(backend_->context(), type_, dy, x, statistics.rstd,
                                       statistics.mean, weight_->grad,
                                       bias_ != nullptr ? bias_->grad.view() : kernels::View{});
}

kernels::NormType norm_type(spec::NormKind kind) {
  return kind == spec::NormKind::rms ? kernels::NormType::rms : kernels::NormType::layer;
}

PreNorm::PreNorm(ParamStore& store, const spec::ModelConfig& config, const std::string& prefix)
    : prefix_(prefix), norm_(store, prefix + ".norm", norm_type(config.norm), config.norm_eps) {}

Tensor PreNorm::forward(const Tensor& x, Pass& pass) {
  Stash& stash = pass.stash;
  const DType accumulate = kernels::accumulate_dtype(x.dtype());
  stash.keep(prefix_ + ".x", x);
  Norm::Statistics made;
  made.rstd = stash.put(prefix_ + ".norm_rstd", {x.dim(0)}, accumulate);
  if (norm_.has_mean()) made.mean = stash.put(prefix_ + ".norm_mean", {x.dim(0)}, accumulate);
  Tensor y = stash.put(prefix_ + ".norm_out", {x.dim(0), x.dim(1)}, x.dtype());
  norm_.forward(x, y, made);
  return y;
}

Tensor PreNorm::backward_input(const Tensor& dy, Pass& pass) {
  Tensor dx =
      Tensor::empty(dy.backend(), {dy.dim(0), dy.dim(1)}, dy.dtype(), MemoryKind::workspace);
  norm_.backward_input(dy, pass.stash.get(prefix_ + ".x"), statistics(pass.stash), dx);
  pass.stash.put_gradient(prefix_ + ".d_norm_out", dy);
  return dx;
}

void PreNorm::backward_weight(Pass& pass) {
  Stash& stash = pass.stash;
  norm_.backward_weight(stash.take(prefix_ + ".d_norm_out"), stash.get(prefix_ + ".x"),
                        statistics(stash));
  for (const char* kept : {".x", ".norm_rstd", ".norm_mean", ".norm_out"})
    stash.release(prefix_ + kept);
}

Norm::Statistics PreNorm::statistics(const Stash& stash) const {
  return {stash.get(prefix_ + ".norm_rstd"),
          norm_.has_mean() ? stash.get(prefix_ + ".norm_mean") : Tensor{}};
}

}  // namespace tera::nn
