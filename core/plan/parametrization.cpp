#include "core/plan/parametrization.h"

#include <cmath>

namespace tera::plan {
namespace {

// Takes the residual stream, whose width grows, as its input.
bool reads_width(const ParamSpec& param) {
  return param.is_expert() || param.kind == ParamKind::router ||
         (param.kind == ParamKind::matrix && param.layer >= 0);
}

// Of those, the ones whose output keeps its size.
bool has_fixed_output(const ParamSpec& param) {
  return param.kind == ParamKind::router || param.shape.front() == 1;
}

double usual_std(const ParamSpec& param, const spec::ModelConfig& model) {
  const double layers = model.num_layers;
  const double hidden = model.hidden_size;
  const bool writes_residual = param.init == ParamInit::scaled_normal;
  switch (model.init_method) {
    case spec::InitMethod::normal:
      return model.init_std;
    case spec::InitMethod::scaled_normal:
      return writes_residual ? model.init_std * (1.0 / std::sqrt(2.0 * layers)) : model.init_std;
    case spec::InitMethod::small_init:
      return writes_residual ? 2.0 / (layers * std::sqrt(hidden)) : std::sqrt(2.0 / (5.0 * hidden));
  }
  return model.init_std;
}

}  // namespace

double init_std(const ParamSpec& param, const spec::ModelConfig& model) {
  const double std = usual_std(param, model);
  if (model.mup_base_hidden_size == 0 || !reads_width(param)) return std;
  const double m = model.mup_width_multiplier();
  return has_fixed_output(param) ? std / m : std / std::sqrt(m);
}

double mup_learning_rate(const ParamSpec& param, const spec::ModelConfig& model) {
  return reads_width(param) ? 1.0 / model.mup_width_multiplier() : 1.0;
}

}  // namespace tera::plan
