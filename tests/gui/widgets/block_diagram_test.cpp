#include "gui/widgets/block_diagram.h"

#include <QSignalSpy>

#include "gui/theme.h"
#include "tests/gui/gui_test_support.h"

namespace tera::gui {
namespace {

TEST(BlockDiagram, TenThousandLayersAreThreeBlocks) {
  spec::ModelConfig model = spec::model_preset("deepseek-v3").value().model;
  model.num_layers = 10000;
  const auto blocks = modelBlocks(model);
  ASSERT_EQ(blocks.size(), 5U);  // embedding, dense, MoE, head, multi-token prediction
  EXPECT_EQ(blocks[1].title, "3 × dense block");
  EXPECT_EQ(blocks[2].title, "9,997 × MoE block");
  EXPECT_EQ(blocks[2].experts, 256);
  EXPECT_EQ(blocks[4].title, "1 × multi-token prediction");
  EXPECT_EQ(blocks[4].body, "in training, loss × 0.3");
  model.num_experts = 0;
  model.num_mtp_layers = 0;
  EXPECT_EQ(modelBlocks(model).size(), 3U);
}

spec::ModelConfig model(const char* preset) {
  return spec::model_preset(preset).value().model;
}

TEST(BlockDiagram, EveryLayerIsInOneBlock) {
  for (const std::string& preset : test::presets()) {
    const spec::ModelConfig config = model(preset.c_str());
    int layers = 0;
    for (const ModelBlock& block : modelBlocks(config))
      if (!block.attention.isEmpty()) layers += block.title.section(' ', 0, 0).remove(',').toInt();
    EXPECT_EQ(layers, config.num_layers) << preset;
  }
}

TEST(BlockDiagram, BlocksLeadToTheFieldThatMakesThem) {
  for (const ModelBlock& block : modelBlocks(model("deepseek-v3"))) {
    bool known = false;
    for (const spec::FieldInfo& info : spec::all_fields())
      known = known || info.path == block.field;
    EXPECT_TRUE(known) << block.field;
  }
}

TEST(BlockDiagram, ClickAndKeysAskForFields) {
  BlockDiagram diagram;
  const spec::ModelConfig config = model("mixtral-8x7b");
  diagram.setModel(&config);
  diagram.resize(420, 320);
  diagram.show();
  ASSERT_TRUE(QTest::qWaitForWindowExposed(&diagram));
  std::vector<std::string> asked;
  QObject::connect(&diagram, &BlockDiagram::fieldRequested, &diagram,
                   [&](const std::string& path) { asked.push_back(path); });
  diagram.setFocus();
  QTest::keyClick(&diagram, Qt::Key_Return);
  QTest::keyClick(&diagram, Qt::Key_Down);
  QTest::keyClick(&diagram, Qt::Key_Space);
  QTest::mouseClick(&diagram, Qt::LeftButton, {}, {210, 160});  // the blocks of layers
  for (int i = 0; i < 9; ++i)
    QTest::keyClick(&diagram, Qt::Key_Down);
  QTest::keyClick(&diagram, Qt::Key_Return);  // the last block
  EXPECT_EQ(asked, (std::vector<std::string>{"model.vocab_size", "model.num_experts",
                                             "model.num_experts", "model.tie_embeddings"}));
}

TEST(BlockDiagram, SaysTheBlockUnderTheCursor) {
  BlockDiagram diagram;
  const spec::ModelConfig config = model("mixtral-8x7b");
  diagram.setModel(&config);
  EXPECT_TRUE(diagram.accessibleDescription().contains("32 × MoE block"))
      << ss(diagram.accessibleDescription());
  QTest::keyClick(&diagram, Qt::Key_Down);
  EXPECT_TRUE(diagram.accessibleDescription().startsWith("32 × MoE block"))
      << ss(diagram.accessibleDescription());
}

TEST(BlockDiagram, AnUnknownModelHasNoBlocks) {
  BlockDiagram diagram;
  diagram.setModel(nullptr);
  EXPECT_TRUE(diagram.accessibleDescription().startsWith("n/a"));
  bool asked = false;
  QObject::connect(&diagram, &BlockDiagram::fieldRequested, &diagram, [&] { asked = true; });
  diagram.resize(300, 300);
  QTest::keyClick(&diagram, Qt::Key_Down);
  QTest::keyClick(&diagram, Qt::Key_Return);
  QTest::mouseClick(&diagram, Qt::LeftButton, {}, {150, 150});
  EXPECT_FALSE(asked);
  EXPECT_FALSE(diagram.grab().isNull());
}

TEST(BlockDiagram, SharedExpertsAreSaidInTheShortTextToo) {
  const auto blocks = modelBlocks(model("deepseek-v3"));
  const auto moe = std::find_if(blocks.begin(), blocks.end(),
                                [](const ModelBlock& block) { return block.experts > 0; });
  ASSERT_NE(moe, blocks.end());
  EXPECT_TRUE(moe->body.endsWith("+ 1 shared")) << ss(moe->body);
  EXPECT_TRUE(moe->shortBody.endsWith("+ 1 shared")) << ss(moe->shortBody);
  EXPECT_LT(moe->shortBody.size(), moe->body.size());
}

}  // namespace
}  // namespace tera::gui
