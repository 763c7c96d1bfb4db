#include <set>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/core/spec/spec_text.h"

namespace tera::spec {
namespace {

using testing::HasSubstr;

TEST(FieldAccess, EveryFieldGivesAndTakesItsOwnText) {
  RunSpec spec = tiny_spec();
  spec.data.datasets = {{"a", "", 0.25}, {"b c", "", 0.75}};
  spec.data.blend_stages = {{10, {0.5, 0.5}}};
  RunSpec copy;
  for (const FieldInfo& info : all_fields()) {
    const Result<std::string> text = get_field(spec, info.path);
    ASSERT_TRUE(text) << info.path;
    const Result<void> set = set_field(copy, info.path, *text);
    ASSERT_TRUE(set) << info.path << " = " << *text << ": " << set.error().message;
  }
  copy.cluster.preset = spec.cluster.preset;
  EXPECT_TRUE(copy == spec);
}

TEST(FieldAccess, ListsTheFieldsOfEverySection) {
  std::set<std::string> paths;
  for (const FieldInfo& info : all_fields()) {
    EXPECT_TRUE(paths.insert(info.path).second) << info.path;
    EXPECT_FALSE(info.field.help.empty()) << info.path;
    EXPECT_EQ(info.kind == FieldInfo::Kind::choice, !info.choices.empty()) << info.path;
  }
  EXPECT_TRUE(paths.count("name") && paths.count("cluster.inter_node.bytes_per_s") &&
              paths.count("data.datasets"));
  EXPECT_GT(paths.size(), 90U);
}

TEST(FieldAccess, SetsNestedFieldsAndListItems) {
  RunSpec spec = tiny_spec();
  ASSERT_TRUE(set_field(spec, "data.datasets", "[{path: a}, {path: b, weight: 3}]"));
  ASSERT_TRUE(set_field(spec, "data.datasets[0].weight", "0.5"));
  EXPECT_EQ(spec.data.datasets[0].weight, 0.5);
  EXPECT_EQ(get_field(spec, "data.datasets[1].path").value(), "b");
  ASSERT_TRUE(set_field(spec, "cluster.inter_node.bytes_per_s", "50e9"));
  EXPECT_EQ(spec.cluster.inter_node.bytes_per_s, 50e9);
  ASSERT_TRUE(set_field(spec, "name", "null: a # b"));  // texts are taken as they are
  EXPECT_EQ(spec.name, "null: a # b");
}

TEST(FieldAccess, PresetsReplaceTheirSection) {
  RunSpec spec = tiny_spec();
  ASSERT_TRUE(set_field(spec, "model.preset", "gpt2-124m"));
  EXPECT_EQ(spec.model.vocab_size, 50257);
  ASSERT_TRUE(set_field(spec, "cluster.preset", "a100-ib"));
  EXPECT_EQ(get_field(spec, "cluster.preset").value(), "a100-ib");
  EXPECT_THAT(set_field(spec, "model.preset", "gpt2").error().message,
              HasSubstr("no model preset 'gpt2'"));
}

TEST(FieldAccess, ErrorsNameThePathAndChangeNothing) {
  const RunSpec before = tiny_spec();
  RunSpec spec = before;
  EXPECT_EQ(set_field(spec, "layout.tensor_paralel_size", "2").error().hint,
            "did you mean layout.tensor_parallel_size?");
  EXPECT_THAT(set_field(spec, "layout.zero_stage", "7").error().message,
              HasSubstr("layout.zero_stage: got '7'"));
  for (const char* path :
       {"", ".", "model", "model.", "model.num_layers.x", "data.datasets[0].path", "data.datasets[",
        "data.datasets[x]", "data.datasets[99999999999999999999]", "name[0]",
        "data.blend_stages[-1]", "..."}) {
    EXPECT_FALSE(set_field(spec, path, "1")) << path;
    if (std::string(path) != "model") {
      EXPECT_FALSE(get_field(spec, path)) << path;
    }
  }
  EXPECT_FALSE(set_field(spec, "data.datasets", "[{path: a, wieght: 1}]"));
  EXPECT_FALSE(set_field(spec, "data.datasets", "[{weight: 1}]"));  // path is required
  EXPECT_FALSE(set_field(spec, "data.datasets", "x\nmodel: {}"));
  EXPECT_FALSE(set_field(spec, "data.datasets", "[[[["));
  EXPECT_TRUE(spec == before);
}

}  // namespace
}  // namespace tera::spec
