// Norm: the function with its weight, keeping nothing. ResidualNorm: a norm as wide as the residual
// stream, as a Module.
#pragma once
#include <string>

#include "core/nn/module.h"
#include "core/nn/residual_stream.h"
#include "core/spec/model_config.h"

namespace tera::nn {

class Norm {
 public:
  // Parameters `name`.weight [H] and, when the store has it, `name`.bias [H].
  Norm(ParamStore& store, const std::string& name, kernels::NormType type, double eps);

  // x, y [T, H] c; rstd [T] a; mean [T] a or absent (rms). T counts rows: tokens, or tokens x
  // heads.
  struct Statistics {
    Tensor rstd;
    Tensor mean;
  };
  void forward(const Tensor& x, const Tensor& y, const Statistics& statistics) const {
    forward({x, {}}, {}, y, statistics);
  }
  // Of sum, which becomes stream.x + stream.branch; absent when the stream has no branch.
  void forward(const ResidualStream& stream,
               const Tensor& sum,
               const Tensor& y,
               const Statistics& statistics) const;
  // d_stream [T, H] c, added to the gradient at x, or absent.
  void backward_input(const Tensor& dy,
                      const Tensor& x,
                      const Statistics& statistics,
                      const Tensor& d_stream,
                      const Tensor& dx) const;
  void backward_weight(const Tensor& dy, const Tensor& x, const Statistics& statistics);

  bool has_mean() const { return type_ == kernels::NormType::layer; }

 private:
  Backend* backend_;
  kernels::NormType type_;
  double eps_;
  Param* weight_;
  Param* bias_ = nullptr;
};

kernels::NormType norm_type(spec::NormKind kind);

// Keeps <name>_rstd (and _mean) and, when the branch behind it reads its output, <name>_out, unless
// that is computed again; reads its input from the stash in both halves of backward.
class ResidualNorm final : public Module {
 public:
  enum class Output : std::uint8_t { kept, passed_on };

  // name: "layers.3.attention.norm", of the parameter too; input: the stash entry that holds x.
  ResidualNorm(ParamStore& store,
               const spec::ModelConfig& config,
               std::string name,
               std::string input,
               Output output);

  Tensor forward(const Tensor& x, Pass& pass) override {  // [T, H] -> [T, H]
    return forward({x, {}}, {}, pass);
  }
  // The stream's sum goes to `sum`, absent when the stream has no branch.
  Tensor forward(const ResidualStream& stream, const Tensor& sum, Pass& pass);
  Tensor backward_input(const Tensor& dy, Pass& pass) override {
    return backward_input(dy, {}, pass);
  }
  // d_stream: the gradient that reaches x past the norm, added; or absent.
  Tensor backward_input(const Tensor& dy, const Tensor& d_stream, Pass& pass);
  void backward_weight(Pass& pass) override;
  // Before the branch behind it reads its output in backward: makes it again if it was not kept.
  void restore_output(Pass& pass) const;
  void drop_output(Pass& pass) const { pass.stash.release(name_ + "_out"); }

 private:
  Norm::Statistics statistics(const Stash& stash) const;

  std::string name_;
  std::string input_;
  Output output_;
  Norm norm_;
};

}  // namespace tera::nn
