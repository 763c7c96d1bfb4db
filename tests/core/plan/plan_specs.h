// Specs the plan tests start from.
#pragma once
#include <cstdlib>
#include <string_view>

#include <gtest/gtest.h>

#include "core/spec/presets.h"

namespace tera::plan {

// A device profile measured on this computer must not change what the tests see.
inline const bool kWithoutDeviceProfile = setenv("XDG_CACHE_HOME", "/nonexistent", 1) == 0;

inline spec::RunSpec run_spec(std::string_view name) {
  const auto preset = spec::run_preset(name);
  EXPECT_TRUE(preset) << preset.error().message;
  return preset->spec;
}

inline spec::ModelConfig model_config(std::string_view name) {
  const auto preset = spec::model_preset(name);
  EXPECT_TRUE(preset) << preset.error().message;
  return preset->model;
}

}  // namespace tera::plan
