// Rotary embedding and its stretching to longer contexts in config.json of the transformers
// library, read and written.
#pragma once
#include <nlohmann/json.hpp>

#include "core/spec/foreign_settings.h"
#include "core/spec/model_config.h"

namespace tera::spec::hugging_face {

// Both forms: rope_theta beside rope_scaling (version 4), and rope_parameters (version 5). Returns
// mscale_all_dim, which some families soften their scores by; 0 when there is none.
double read_rope(ForeignSettings& settings, ModelConfig& model, double default_theta);

// Legacy form, which versions 4 and 5 read. mscale as DeepSeek has it: cosines and sines by its
// ratio to mscale_all_dim, scores by the square of mscale_all_dim's factor.
nlohmann::json write_rope_scaling(const ModelConfig& model);

// 0.1 mscale ln(stretch) + 1, what YaRN multiplies cosines and sines by. Source: Peng et al. 2023,
// YaRN, section 3.4, with the mscale of DeepSeek's configuration.
double yarn_factor(double stretch, double mscale);

}  // namespace tera::spec::hugging_face
