#include "gui/yaml_patch.h"

#include <gtest/gtest.h>

namespace tera::gui {
namespace {

TEST(YamlPatch, ReplacesAScalarAndKeepsEverythingElse) {
  const char* text =
      "# my run\n"
      "name: toy   # short\n"
      "\n"
      "model:\n"
      "  preset: tiny-moe\n"
      "  num_experts: 4  # few\n"
      "training:\n"
      "  num_steps: 100\n";
  EXPECT_EQ(patchYamlScalar(text, "model.num_experts", "8").value(),
            "# my run\n"
            "name: toy   # short\n"
            "\n"
            "model:\n"
            "  preset: tiny-moe\n"
            "  num_experts: 8  # few\n"
            "training:\n"
            "  num_steps: 100\n");
  EXPECT_NE(patchYamlScalar(text, "name", "other")->find("name: other   # short\n"),
            std::string::npos);
}

TEST(YamlPatch, InsertsAtTheEndOfItsSection) {
  const char* text = "model:\n  preset: tiny-moe\n\n# how long\ntraining:\n  num_steps: 100\n";
  EXPECT_EQ(
      patchYamlScalar(text, "model.num_layers", "3").value(),
      "model:\n  preset: tiny-moe\n  num_layers: 3\n\n# how long\ntraining:\n  num_steps: 100\n");
}

TEST(YamlPatch, AddsMissingSectionsOfAnyDepth) {
  EXPECT_EQ(patchYamlScalar("name: a\n", "cluster.device.peak_power_w", "700").value(),
            "name: a\ncluster:\n  device:\n    peak_power_w: 700\n");
  EXPECT_EQ(patchYamlScalar("", "seed", "1").value(), "seed: 1\n");
}

TEST(YamlPatch, EditsFlowMappings) {
  EXPECT_EQ(
      patchYamlScalar("model: {preset: tiny-moe, num_experts: 4}  # m\n", "model.num_experts", "8")
          .value(),
      "model: {preset: tiny-moe, num_experts: 8}  # m\n");
  EXPECT_EQ(patchYamlScalar("model: {preset: tiny-moe}\n", "model.num_layers", "6").value(),
            "model: {preset: tiny-moe, num_layers: 6}\n");
  EXPECT_EQ(
      patchYamlScalar("layout:  {}          # all sizes are 1\n", "layout.zero_stage", "1").value(),
      "layout:  {zero_stage: 1}          # all sizes are 1\n");
  EXPECT_EQ(patchYamlScalar("cluster: {device: {is_cpu: true}}\n", "cluster.device.is_cpu", "false")
                .value(),
            "cluster: {device: {is_cpu: false}}\n");
}

TEST(YamlPatch, RespectsQuotesAndHashes) {
  EXPECT_EQ(patchYamlScalar("name: \"a # b\"  # c\n", "name", "d").value(), "name: d  # c\n");
  EXPECT_EQ(patchYamlScalar("name:\nseed: 2\n", "name", "d").value(), "name: d\nseed: 2\n");
}

TEST(YamlPatch, DoesNotConfuseKeysThatBeginAlike) {
  EXPECT_EQ(
      patchYamlScalar("training:\n  num_steps_more: 1\n  num_steps: 2\n", "training.num_steps", "9")
          .value(),
      "training:\n  num_steps_more: 1\n  num_steps: 9\n");
}

TEST(YamlPatch, LeavesShapesItDoesNotKnow) {
  EXPECT_FALSE(patchYamlScalar("model: {preset: a,\n  num_layers: 2}\n", "model.num_experts", "8"));
  EXPECT_FALSE(patchYamlScalar("model: text\n", "model.num_experts", "8"));
}

TEST(YamlPatch, ReplacesAWholeSection) {
  const char* text =
      "name: a\nmodel:\n  num_layers: 2\n  num_experts: 4\n\n# next\ntraining:\n  num_steps: 1\n";
  EXPECT_EQ(replaceYamlSection(text, "model", "model:\n  preset: x\n"),
            "name: a\nmodel:\n  preset: x\n\n# next\ntraining:\n  num_steps: 1\n");
  EXPECT_EQ(replaceYamlSection("name: a\n", "model", "model:\n  preset: x\n"),
            "name: a\nmodel:\n  preset: x\n");
}

TEST(YamlPatch, KeepsTheKindOfLineEnds) {
  EXPECT_EQ(patchYamlScalar("name: a  # b\r\nseed: 1\r\n", "name", "c").value(),
            "name: c  # b\r\nseed: 1\r\n");
  EXPECT_EQ(patchYamlScalar("model:\r\n  preset: x\r\n", "model.num_layers", "2").value(),
            "model:\r\n  preset: x\r\n  num_layers: 2\r\n");
}

TEST(YamlPatch, ATextWithoutItsLastNewlineStaysSo) {
  EXPECT_EQ(patchYamlScalar("name: a\nseed: 1", "name", "c").value(), "name: c\nseed: 1");
}

TEST(YamlPatch, AKeyWithOnlyACommentTakesTheValueBeforeIt) {
  EXPECT_EQ(patchYamlScalar("name: # soon\n", "name", "a").value(), "name: a # soon\n");
}

TEST(YamlPatch, FindsKeysAtTheIndentOfTheirSection) {
  const char* text = "model:\n    attention: latent\n    num_layers: 2\nlayout:\n  num_layers: 9\n";
  EXPECT_EQ(patchYamlScalar(text, "model.num_layers", "3").value(),
            "model:\n    attention: latent\n    num_layers: 3\nlayout:\n  num_layers: 9\n");
}

TEST(YamlPatch, FindsASectionByName) {
  const char* text = "name: a\nmodel:\n  num_layers: 2\n\n# next\ntraining:\n  num_steps: 1\n";
  EXPECT_EQ(yamlSection(text, "model"), "model:\n  num_layers: 2\n");
  EXPECT_EQ(yamlSection(text, "training"), "training:\n  num_steps: 1\n");
  EXPECT_EQ(yamlSection(text, "cluster"), "");
}

}  // namespace
}  // namespace tera::gui
