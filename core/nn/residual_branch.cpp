#include "core/nn/residual_branch.h"

#include <utility>

namespace tera::nn {

ResidualBranch::ResidualBranch(ParamStore& store,
                               const spec::ModelConfig& config,
                               const std::string& prefix,
                               std::string input)
    : input_(std::move(input)),
      branch_out_(prefix + ".branch_out"),
      body_input_(config.has_pre_norm() ? prefix + ".norm_out" : input_),
      owns_input_(input_ == prefix + ".x") {
  using Output = ResidualNorm::Output;
  if (config.has_pre_norm()) norm_.emplace(store, config, prefix + ".norm", input_, Output::kept);
  if (config.has_post_norm()) {
    post_norm_.emplace(store, config, prefix + ".post_norm", branch_out_, Output::passed_on);
  }
}

ResidualStream ResidualBranch::forward(ResidualStream stream,
                                       Pass& pass,
                                       const std::function<Tensor(const Tensor&)>& body) {
  auto [x, h] = read(std::move(stream), pass);
  if (owns_input_) pass.stash.keep(input_, x);
  const Tensor y = body(std::exchange(h, {}));  // alive while the body reads it
  if (!post_norm_) return {x, y};
  const Tensor kept = pass.stash.put(branch_out_, {y.dim(0), y.dim(1)}, y.dtype());
  y.backend().ops().copy(y.backend().context(), y, kept);
  return {x, post_norm_->forward(kept, pass)};
}

ResidualBranch::Read ResidualBranch::read(ResidualStream stream, Pass& pass) {
  if (!norm_) {
    const Tensor x = joined(std::move(stream));
    return {x, x};
  }
  if (!stream.branch.present()) return {stream.x, norm_->forward(stream.x, pass)};
  const Tensor sum = Tensor::empty(stream.x.backend(), {stream.x.dim(0), stream.x.dim(1)},
                                   stream.x.dtype(), MemoryKind::workspace);
  return {sum, norm_->forward(stream, sum, pass)};
}

Tensor ResidualBranch::backward_input(const Tensor& dy,
                                      const Tensor& d_stream,
                                      Pass& pass,
                                      Module& body) {
  const bool early = norm_ && body.reads_input_early(pass);
  if (early) norm_->restore_output(pass);
  Tensor dx = body.backward_input(post_norm_ ? post_norm_->backward_input(dy, pass) : dy, pass);
  if (early && !pass.keeps_cheap()) norm_->drop_output(pass);  // the other half may be far off
  if (norm_) return norm_->backward_input(dx, d_stream, pass);
  dx.backend().ops().add(dx.backend().context(), dx, d_stream, dx);
  return dx;
}

void ResidualBranch::backward_weight(Pass& pass, Module& body) {
  if (post_norm_) post_norm_->backward_weight(pass);
  pass.stash.release(branch_out_);
  if (norm_) norm_->restore_output(pass);
  body.backward_weight(pass);  // before the norm, which releases the body's input
  if (norm_) norm_->backward_weight(pass);
  if (owns_input_) pass.stash.release(input_);
}

}  // namespace tera::nn
