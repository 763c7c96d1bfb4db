// How the initial spread and the learning rate of a tensor follow from width and depth.
#pragma once
#include "core/plan/param_table.h"
#include "core/spec/model_config.h"

namespace tera::plan {

// Standard deviation of the initial values of a tensor that starts from normal ones. With maximal
// update parametrization (Yang et al. 2022, Tensor Programs V, table 8) and m = the width over its
// base: 1 / sqrt(m) of the usual one in the matrices of layers and experts, whose two extents grow;
// 1 / m in routers and gates, whose outputs do not grow; the usual one in embeddings and head.
double init_std(const ParamSpec& param, const spec::ModelConfig& model);

// Factor on the learning rate of Adam and its like: 1 / m for the matrices of layers, experts and
// routers, 1 for embeddings, vectors and the head, whose input is multiplied by 1 / m instead.
double mup_learning_rate(const ParamSpec& param, const spec::ModelConfig& model);

}  // namespace tera::plan
