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

Tensor ResidualBranch::forward(const Tensor& x,
                               Pass& pass,
                               const std::function<Tensor(const Tensor&)>& body) {
  if (owns_input_) pass.stash.keep(input_, x);
  const Tensor y = body(norm_ ? norm_->forward(x, pass) : x);
  if (!post_norm_) return y;
  const Tensor kept = pass.stash.put(branch_out_, {y.dim(0), y.dim(1)}, y.dtype());
  y.backend().ops().copy(y.backend().context(), y, kept);
  return post_norm_->forward(kept, pass);
}

Tensor ResidualBranch::backward_input(const Tensor& dy, Pass& pass, Module& body) {
  const Tensor dx =
      body.backward_input(post_norm_ ? post_norm_->backward_input(dy, pass) : dy, pass);
  return norm_ ? norm_->backward_input(dx, pass) : dx;
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
