#include "core/nn/norm.h"

#include <utility>

namespace tera::nn {

Norm::Norm(ParamStore& store, const std::string& name, kernels::NormType type, double eps)
    : backend_(&store.backend()), type_(type), eps_(eps), weight_(&store.get(name + ".weight")) {
  if (store.has(name + ".bias")) bias_ = &store.get(name + ".bias");
}

void Norm::forward(const ResidualStream& stream,
                   const Tensor& sum,
                   const Tensor& y,
                   const Statistics& statistics) const {
  backend_->ops().norm_forward(backend_->context(), type_, stream.x, stream.branch, weight_->value,
                               bias_ != nullptr ? bias_->value.view() : kernels::View{}, eps_, sum,
                               y, statistics.rstd, statistics.mean);
}

void Norm::backward_input(const Tensor& dy,
                          const Tensor& x,
                          const Statistics& statistics,
                          const Tensor& d_stream,
                          const Tensor& dx) const {
  backend_->ops().norm_backward_input(backend_->context(), type_, dy, x, weight_->value,
                                      statistics.rstd, statistics.mean, d_stream, dx);
}

void Norm::backward_weight(const Tensor& dy, const Tensor& x, const Statistics& statistics) {
  if (!weight_->trained) return;
  backend_->ops().norm_backward_weight(
      backend_->context(), type_, dy, x, statistics.rstd, statistics.mean, weight_->gradient(),
      bias_ != nullptr ? bias_->gradient().view() : kernels::View{});
}

kernels::NormType norm_type(spec::NormKind kind) {
  return kind == spec::NormKind::rms ? kernels::NormType::rms : kernels::NormType::layer;
}

ResidualNorm::ResidualNorm(ParamStore& store,
                           const spec::ModelConfig& config,
                           std::string name,
                           std::string input,
                           Output output)
    : name_(std::move(name)),
      input_(std::move(input)),
      output_(output),
      norm_(store, name_, norm_type(config.norm), config.norm_eps) {}

Tensor ResidualNorm::forward(const ResidualStream& stream, const Tensor& sum, Pass& pass) {
  Stash& stash = pass.stash;
  const Tensor& x = stream.x;
  const DType accumulate = kernels::accumulate_dtype(x.dtype());
  Norm::Statistics made;
  made.rstd = stash.put(name_ + "_rstd", {x.dim(0)}, accumulate);
  if (norm_.has_mean()) made.mean = stash.put(name_ + "_mean", {x.dim(0)}, accumulate);
  Tensor y = output_ == Output::kept ? pass.cheap(name_ + "_out", {x.dim(0), x.dim(1)}, x.dtype())
                                     : Tensor::empty(x.backend(), {x.dim(0), x.dim(1)}, x.dtype(),
                                                     MemoryKind::workspace);
  norm_.forward(stream, sum, y, made);
  return y;
}

Tensor ResidualNorm::backward_input(const Tensor& dy, const Tensor& d_stream, Pass& pass) {
  Tensor dx =
      Tensor::empty(dy.backend(), {dy.dim(0), dy.dim(1)}, dy.dtype(), MemoryKind::workspace);
  norm_.backward_input(dy, pass.stash.get(input_), statistics(pass.stash), d_stream, dx);
  pass.stash.put_gradient(name_ + ".d_out", dy);
  return dx;
}

void ResidualNorm::backward_weight(Pass& pass) {
  Stash& stash = pass.stash;
  norm_.backward_weight(stash.take(name_ + ".d_out"), stash.get(input_), statistics(stash));
  for (const char* kept : {"_rstd", "_mean", "_out"})
    stash.release(name_ + kept);
}

void ResidualNorm::restore_output(Pass& pass) const {
  Stash& stash = pass.stash;
  if (stash.has(name_ + "_out")) return;
  const Tensor& x = stash.get(input_);
  norm_.forward(x, stash.put_gradient(name_ + "_out", {x.dim(0), x.dim(1)}, x.dtype()),
                statistics(stash));
}

Norm::Statistics ResidualNorm::statistics(const Stash& stash) const {
  return {stash.get(name_ + "_rstd"), norm_.has_mean() ? stash.get(name_ + "_mean") : Tensor{}};
}

}  // namespace tera::nn
