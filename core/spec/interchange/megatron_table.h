// What import and export of Megatron-LM share.
#pragma once
#include "core/spec/interchange/mapping.h"

namespace tera::spec {

// Rows of the embedding are a multiple of this times the tensor-parallel size, unless told.
constexpr int kMegatronVocabMultiple = 128;
// Of YaRN with latent attention. Source: MLATransformerConfig.
constexpr int kMegatronYarnPositions = 4096;

// The arguments that are fields of ours. Names and defaults: megatron/training/arguments.py of
// core_v0.13.
const Mapping& megatron_mapping();

// YaRN's 0.1 m ln(s) + 1 for contexts s times longer. Source: Peng et al. 2023, section 3.4.
double yarn_softening(double stretch, double mscale);

}  // namespace tera::spec
