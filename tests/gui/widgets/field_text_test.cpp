#include "gui/widgets/field_text.h"

#include <gtest/gtest.h>

#include "gui/text.h"

namespace tera::gui {
namespace {

TEST(FieldText, LabelsAreTheFieldsOwnWords) {
  EXPECT_EQ(fieldLabel("num_attention_heads"), "Attention heads");
  EXPECT_EQ(fieldLabel("moe_ffn_hidden_size"), "MoE FFN hidden size");
  EXPECT_EQ(fieldLabel("lr_schedule"), "LR schedule");
  EXPECT_EQ(fieldLabel("seed"), "Seed");
}

const spec::FieldInfo& field(const std::string& path) {
  for (const spec::FieldInfo& info : spec::all_fields()) {
    if (info.path == path) return info;
  }
  throw std::out_of_range(path);
}

TEST(FieldText, AFieldThatTwoStructsHaveSaysWhose) {
  EXPECT_EQ(fieldLabel(field("training.param_groups.embedding.lr_multiplier")),
            "Embedding: LR multiplier");
  EXPECT_EQ(fieldLabel(field("training.param_groups.norm.weight_decay_multiplier")),
            "Norm: weight decay multiplier");
  EXPECT_EQ(fieldLabel(field("cluster.inter_node.latency_s")), "Inter node: latency s");
  EXPECT_EQ(fieldLabel(field("cluster.device.is_cpu")), "Is CPU") << "no other has such a field";
  EXPECT_EQ(fieldLabel(field("training.seq_length")), "Seq length");
  EXPECT_EQ(fieldLabel(field("name")), "Name");
}

TEST(FieldText, EveryFieldHasALabelAndAHelp) {
  for (const spec::FieldInfo& info : spec::all_fields()) {
    const QString label = fieldLabel(info);
    EXPECT_FALSE(label.isEmpty()) << info.path;
    EXPECT_TRUE(label[0].isUpper() || !label[0].isLetter()) << info.path;
    EXPECT_FALSE(label.contains('_')) << info.path;
    EXPECT_FALSE(info.field.help.empty()) << info.path;
  }
}

TEST(FieldText, RangesSayBothEndsOrOne) {
  spec::FieldInfo info = field("model.num_layers");
  info.field.min = 1;
  info.field.max = 2e6;
  EXPECT_EQ(rangeText(info), "Range 1 to 2.00 M.");
  info.field.max = std::numeric_limits<double>::infinity();
  EXPECT_EQ(rangeText(info), "At least 1.");
  info.field.min = -info.field.max;
  EXPECT_EQ(rangeText(info), "");
  EXPECT_EQ(rangeText(field("model.tie_embeddings")), "") << "no numbers, no range";
}

}  // namespace
}  // namespace tera::gui
