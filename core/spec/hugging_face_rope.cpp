#include "core/spec/hugging_face_rope.h"

#include <algorithm>
#include <cmath>
#include <string>

#include <fmt/format.h>

namespace tera::spec::hugging_face {

double yarn_factor(double stretch, double mscale) {
  return stretch <= 1 ? 1.0 : 0.1 * mscale * std::log(stretch) + 1.0;
}

namespace {

// Returns mscale_all_dim, which some families soften their scores by.
double read_yarn(ForeignSettings& rope, ModelConfig& m) {
  m.rope_scaling = RopeScaling::yarn;
  m.rope_beta_fast = rope.number("beta_fast", m.rope_beta_fast);
  m.rope_beta_slow = rope.number("beta_slow", m.rope_beta_slow);
  const double mscale = rope.number("mscale", 0.0);
  const double mscale_all_dim = rope.number("mscale_all_dim", 0.0);
  if (rope.has("attention_factor")) {
    m.rope_attention_factor = rope.number("attention_factor");
  } else if (mscale != 0 && mscale_all_dim != 0) {
    m.rope_attention_factor =
        yarn_factor(m.rope_factor, mscale) / yarn_factor(m.rope_factor, mscale_all_dim);
  }
  rope.ignore({"attention_factor"});
  rope.expect("truncate", true, "the ramp begins and ends at whole dims here");
  return mscale_all_dim;
}

}  // namespace

double read_rope(ForeignSettings& s, ModelConfig& m, double default_theta) {
  ForeignSettings rope = s.object(s.has("rope_parameters") ? "rope_parameters" : "rope_scaling");
  s.ignore({"rope_parameters", "rope_scaling"});
  m.rope_theta = rope.number("rope_theta", s.number("rope_theta", default_theta));
  m.rotary_fraction =
      rope.number("partial_rotary_factor", s.number("partial_rotary_factor", m.rotary_fraction));
  const std::string type = rope.text("rope_type", rope.text("type", "default"));
  rope.ignore({"type"});
  if (type != "default") {
    const int original =
        rope.integer("original_max_position_embeddings", m.max_position_embeddings);
    m.rope_factor = rope.number(
        "factor",
        original > 0 ? double{1} * m.max_position_embeddings / std::max(1, original) : 1.0);
    if (type != "linear") m.rope_original_max_position = original;
  }
  double mscale_all_dim = 0;
  if (type == "linear") {
    m.rope_scaling = RopeScaling::linear;
  } else if (type == "llama3") {
    m.rope_scaling = RopeScaling::llama3;
    m.rope_low_freq_factor = rope.number("low_freq_factor");
    m.rope_high_freq_factor = rope.number("high_freq_factor");
  } else if (type == "yarn") {
    mscale_all_dim = read_yarn(rope, m);
  } else if (type != "default") {
    rope.error("rope_type", fmt::format("\"{}\" is not a scaling the engine has", type),
               "it has linear, llama3 and yarn");
  }
  rope.report_unknown();
  return mscale_all_dim;
}

nlohmann::json write_rope_scaling(const ModelConfig& m) {
  nlohmann::json rope;
  if (m.rope_scaling == RopeScaling::none) return rope;
  rope["rope_type"] = rope["type"] = enum_name(m.rope_scaling);
  rope["factor"] = m.rope_factor;
  if (m.rope_scaling == RopeScaling::linear) return rope;
  rope["original_max_position_embeddings"] = m.rope_original_max_position;
  if (m.rope_scaling == RopeScaling::llama3) {
    rope["low_freq_factor"] = m.rope_low_freq_factor;
    rope["high_freq_factor"] = m.rope_high_freq_factor;
    return rope;
  }
  rope["beta_fast"] = m.rope_beta_fast;
  rope["beta_slow"] = m.rope_beta_slow;
  if (m.attention_scale > 0 && m.rope_factor > 1) {
    const double soft = std::sqrt(m.attention_scale * std::sqrt(double{1} * m.qk_head_dim()));
    const double log_factor = 0.1 * std::log(m.rope_factor);
    const double angle = m.rope_attention_factor > 0 ? m.rope_attention_factor : log_factor + 1;
    rope["mscale_all_dim"] = (soft - 1) / log_factor;
    rope["mscale"] = (angle * soft - 1) / log_factor;
  } else if (m.rope_attention_factor > 0) {
    rope["attention_factor"] = m.rope_attention_factor;
  }
  return rope;
}

}  // namespace tera::spec::hugging_face
