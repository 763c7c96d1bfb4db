#include "core/spec/presets.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "tests/core/spec/spec_text.h"

namespace tera::spec {
namespace {

std::vector<std::string> names_of(const Result<std::vector<std::string>>& names) {
  return names.value_or(std::vector<std::string>{});
}

TEST(Presets, TheNamedOnesAreThere) {
  const auto models = names_of(model_preset_names());
  for (const char* name :
       {"tiny-moe", "gpt2-124m", "olmoe-1b-7b", "mixtral-8x7b", "deepseek-v3", "switch-1.6t",
        "moe-1t", "qwen3-235b-a22b", "qwen3-30b-a3b", "llama-3.1-8b", "pythia-160m"}) {
    EXPECT_EQ(std::count(models.begin(), models.end(), name), 1) << name;
  }
  const auto clusters = names_of(cluster_preset_names());
  for (const char* name : {"this-machine", "a100-ib", "a100-40gb-ib", "h100-ib",
                           "h100-96gb-500w-rdma", "h200-ib", "h800-ib", "b200-ib", "b200-nvl72",
                           "b300-ib", "gb300-nvl72", "mi300x-roce", "mi355x-roce", "v100-dgx2"}) {
    EXPECT_EQ(std::count(clusters.begin(), clusters.end(), name), 1) << name;
  }
}

// A number that is not the struct's default must say where it comes from; so must every given one.
template <class T>
void expect_sources(const std::string& preset,
                    const T& value,
                    const T& defaults,
                    const std::string& path,
                    const std::map<std::string, std::string>& sources) {
  T::visit_fields(value, [&](const Field& field, const auto& member) {
    using Member = std::remove_const_t<std::remove_reference_t<decltype(member)>>;
    const std::string at = path + std::string(field.name);
    T::visit_fields(defaults, [&](const Field& other, const auto& original) {
      if constexpr (std::is_same_v<decltype(original), decltype(member)>) {
        if (other.name != field.name) return;
        if constexpr (HasFields<Member>) {
          expect_sources(preset, member, original, at + ".", sources);
        } else if constexpr (!std::is_same_v<Member, std::string>) {
          if (!(member == original)) {
            EXPECT_TRUE(sources.count(at)) << preset << ": " << at;
          }
        }
      }
    });
  });
}

TEST(Presets, EveryNumberHasASourceAndEverySourceAField) {
  for (const std::string& name : names_of(model_preset_names())) {
    const Result<ModelPreset> loaded = model_preset(name);
    ASSERT_TRUE(loaded) << loaded.error().message;
    const ModelPreset& preset = *loaded;
    EXPECT_FALSE(preset.title.empty()) << name;
    expect_sources(name, preset.model, ModelConfig{}, "", preset.sources);
    if (preset.published_total_params > 0) {
      EXPECT_TRUE(preset.sources.count("published.total_params")) << name;
    }
    for (const auto& [field, source] : preset.sources) {
      EXPECT_FALSE(source.empty()) << name << ": " << field;
      if (field.rfind("published.", 0) != 0) {
        EXPECT_TRUE(get_field(RunSpec{}, "model." + field)) << name << ": " << field;
      }
    }
  }
  for (const std::string& name : names_of(cluster_preset_names())) {
    const Result<ClusterPreset> loaded = cluster_preset(name);
    ASSERT_TRUE(loaded) << loaded.error().message;
    const ClusterPreset& preset = *loaded;
    EXPECT_EQ(preset.cluster.preset, name);
    expect_sources(name, preset.cluster, Cluster{}, "", preset.sources);
    for (const auto& [field, source] : preset.sources) {
      EXPECT_FALSE(source.empty()) << name << ": " << field;
      EXPECT_TRUE(get_field(RunSpec{}, "cluster." + field)) << name << ": " << field;
    }
  }
}

TEST(Presets, EveryRunValidatesWithoutErrorsOrWarnings) {
  ASSERT_GE(names_of(run_preset_names()).size(), 8U);
  for (const std::string& name : names_of(run_preset_names())) {
    const Result<RunPreset> preset = run_preset(name);
    ASSERT_TRUE(preset) << preset.error().message;
    EXPECT_EQ(preset->spec.name, name);
    EXPECT_FALSE(preset->title.empty());
    for (const Diagnostic& d : validate(preset->spec))
      EXPECT_EQ(d.severity, Severity::note) << name << ": " << d.field << ": " << d.message;
  }
}

TEST(Presets, TinyMoeTrainsHere) {
  EXPECT_EQ(findings_text(validate_for_engine(run_preset("tiny-moe")->spec)), "");
}

TEST(Presets, UnknownNamesAreErrorsWithASuggestion) {
  EXPECT_EQ(model_preset("mixtral-8x7").error().hint, "did you mean mixtral-8x7b?");
  EXPECT_EQ(cluster_preset("h100").error().message, "no cluster preset 'h100'");
  for (const char* name : {"", ".", "..", "../clusters/h100-ib", "tiny-moe.yaml", "/etc/passwd"}) {
    EXPECT_FALSE(model_preset(name)) << name;
    EXPECT_FALSE(run_preset(name)) << name;
  }
}

}  // namespace
}  // namespace tera::spec
