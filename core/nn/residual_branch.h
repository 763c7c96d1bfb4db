// ResidualBranch: what a layer adds to the residual stream x, post_norm(body(norm(x))), with the
// norms that model.norm_placement asks for. The body (attention, feed-forward) belongs to the
// layer.
#pragma once
#include <functional>
#include <optional>
#include <string>

#include "core/nn/norm.h"

namespace tera::nn {

// Keeps <prefix>.x unless another branch of the layer does, <prefix>.branch_out (the input of the
// post norm), and what its norms keep.
class ResidualBranch {
 public:
  // prefix: "layers.3.attention"; parameters <prefix>.norm and <prefix>.post_norm. input: the stash
  // entry of the residual stream it reads, <prefix>.x when that is its own.
  ResidualBranch(ParamStore& store,
                 const spec::ModelConfig& config,
                 const std::string& prefix,
                 std::string input);

  // The stash entry the body reads.
  const std::string& body_input() const { return body_input_; }

  // The stream with this branch.
  ResidualStream forward(ResidualStream stream,
                         Pass& pass,
                         const std::function<Tensor(const Tensor&)>& body);
  // Gradient at the stream [T, H]: that through the branch, dy being the gradient at its output,
  // and d_stream, which reaches the stream past it.
  Tensor backward_input(const Tensor& dy, const Tensor& d_stream, Pass& pass, Module& body);
  void backward_weight(Pass& pass, Module& body);

 private:
  struct Read {
    Tensor x;  // the stream
    Tensor h;  // what the body reads of it
  };
  Read read(ResidualStream stream, Pass& pass);

  std::string input_;
  std::string branch_out_;
  std::string body_input_;
  bool owns_input_;
  std::optional<ResidualNorm> norm_;
  std::optional<ResidualNorm> post_norm_;
};

}  // namespace tera::nn
