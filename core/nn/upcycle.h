// Sparse upcycling: a Mixture-of-Experts model that starts from a dense one. Every expert of a
// layer is a copy of the dense feed-forward, routers are new, everything else is copied.
//
// Where the gates of a token add up to 1 (router_renormalize, routed_scaling_factor 1) and no noise
// is added, all experts being equal, the new model computes what the dense one did. Source:
// Komatsuzaki et al. 2022, Sparse Upcycling.
#pragma once
#include <cstdint>

#include "core/base/result.h"
#include "core/nn/param_store.h"
#include "core/spec/model_config.h"

namespace tera::nn {

struct UpcycleOptions {
  std::uint64_t seed = 0;  // of new routers and of the noise
  // Normal noise that sets experts apart: its standard deviation, and the share of each expert's
  // elements that get it.
  double noise_std = 0;
  double noise_share = 1;
};

// Refuses models that differ in more than their experts, or whose experts are not as the dense
// feed-forward: says what, got, expected.
Result<void> check_upcycle(const spec::ModelConfig& dense, const spec::ModelConfig& moe);

// Whether the upcycled model's outputs are those of the dense one.
bool keeps_outputs(const spec::ModelConfig& moe, const UpcycleOptions& options);

// Fills `to`, a store of make_param_table(moe), from `from`, one of make_param_table(dense); their
// dtypes may differ.
Result<void> upcycle(const spec::ModelConfig& dense,
                     ParamStore& from,
                     const spec::ModelConfig& moe,
                     ParamStore& to,
                     const UpcycleOptions& options);

}  // namespace tera::nn
