#include <cstdint>
#include <random>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/spec/presets.h"
#include "tests/core/spec/spec_text.h"

namespace tera::spec {
namespace {

std::vector<std::string> names_of(const Result<std::vector<std::string>>& names) {
  return names.value_or(std::vector<std::string>{});
}

using testing::HasSubstr;

void expect_round_trip(const RunSpec& spec) {
  for (const bool commented : {false, true}) {
    const std::string text = to_yaml(spec, commented);
    const ParsedSpec parsed = parse_run_spec(text);
    ASSERT_TRUE(parsed.ok()) << findings_text(parsed.diagnostics) << text;
    EXPECT_TRUE(parsed.spec == spec) << text;
  }
}

TEST(ToYaml, DefaultsAndPresetsReadBackEqual) {
  expect_round_trip(tiny_spec());
  RunSpec bare;
  expect_round_trip(bare);  // no preset anywhere
  for (const std::string& name : names_of(run_preset_names()))
    expect_round_trip(run_preset(name)->spec);
}

TEST(ToYaml, StrangeTextsAndListsReadBackEqual) {
  RunSpec spec = tiny_spec();
  spec.data.datasets = {{"a b: c #d", "", 0.1},
                        {"line\nbreak\t\"quoted\" \\ \x01", "null", 1e-300},
                        {"\xc3\xa4\xe2\x82\xac", "1.5", 3}};
  spec.data.blend_stages = {{1000, {0.1, 0.2, 0.7}}, {std::int64_t{1} << 40, {1, 0, 0}}};
  spec.data.tokenizer = "- not a list";
  spec.cluster.device.name = "true";
  expect_round_trip(spec);
}

TEST(ToYaml, RandomDoublesReadBackToTheSameBits) {
  std::mt19937_64 random(11);
  std::uniform_real_distribution<double> exponent(-18, 2);
  for (int i = 0; i < 50; ++i) {
    RunSpec spec = tiny_spec();
    spec.training.learning_rate = std::pow(10, exponent(random));
    spec.model.init_std = std::pow(10, std::min(0.0, exponent(random)));
    spec.cluster.device.peak_flops_per_s_bf16 = 1e12 * std::pow(10, exponent(random));
    expect_round_trip(spec);
  }
}

TEST(ToYaml, CommentsExplainEveryField) {
  const std::string text = to_yaml(tiny_spec(), true);
  EXPECT_THAT(text, HasSubstr("num_experts: 8"));
  EXPECT_THAT(text, HasSubstr("# Routed experts per MoE layer"));
  EXPECT_EQ(to_yaml(tiny_spec(), false).find('#'), std::string::npos);
}

TEST(ToTemplateYaml, NamesTheClusterInsteadOfCopyingIt) {
  RunSpec spec = tiny_spec();
  const std::string text = to_template_yaml(spec);
  EXPECT_THAT(text, HasSubstr("preset: this-machine"));
  EXPECT_EQ(text.find("peak_flops"), std::string::npos);
  const ParsedSpec parsed = parse_run_spec(text);
  ASSERT_TRUE(parsed.ok()) << findings_text(parsed.diagnostics);
  EXPECT_TRUE(parsed.spec == spec);
}

TEST(ToTemplateYaml, KeepsWhatDiffersFromThePreset) {
  RunSpec spec = run_preset("moe-1t")->spec;
  spec.cluster.device.price_usd_per_h = 1.25;
  spec.cluster.inter_node.bytes_per_s = 100e9;
  const ParsedSpec parsed = parse_run_spec(to_template_yaml(spec));
  ASSERT_TRUE(parsed.ok()) << findings_text(parsed.diagnostics);
  EXPECT_TRUE(parsed.spec == spec);
}

}  // namespace
}  // namespace tera::spec
