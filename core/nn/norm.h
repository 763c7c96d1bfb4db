// Norm: the function with its weight, keeping nothing. PreNorm: the norm at the start of a residual
// branch, as a Module.
#pragma once
#include <string>

#include "core/nn/module.h"
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
  void forward(const Tensor& x, const Tensor& y, const Statistics& statistics) const;
  void backward_input(const Tensor& dy,
                      const Tensor& x,
                      const Statistics& statistics,
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

// Keeps <prefix>.x, the residual stream it reads, <prefix>.norm_rstd (and _mean) and
// <prefix>.norm_out, the input of the branch; releases them in backward_weight.
class PreNorm final : public Module {
 public:
  // prefix: "layers.3.attention"; parameter <prefix>.norm.
  PreNorm(ParamStore& store, const spec::ModelConfig& config, const std::string& prefix);

  Tensor forward(const Tensor& x, Pass& pass) override;  // [T, H] -> [T, H]
  Tensor backward_input(const Tensor& dy, Pass& pass) override;
  void backward_weight(Pass& pass) override;

 private:
  Norm::Statistics statistics(const Stash& stash) const;

  std::string prefix_;
  Norm norm_;
};

}  // namespace tera::nn
