#include "gui/models/param_model.h"

#include "gui/theme.h"
#include "tests/gui/models/model_test_support.h"

namespace tera::gui {
namespace {

using test::kFatal;
using test::Tester;
using test::text;

TEST(ParamModel, PartsAddUpToTheTotal) {
  ParamModel model;
  const Tester tester(&model, kFatal);
  const plan::ParamCounts counts =
      plan::count_params(spec::model_preset("mixtral-8x7b").value().model);
  model.setCounts(counts);
  double sum = 0, shares = 0;
  for (const ParamPart& part : model.rows()) {
    sum += part.count;
    shares += part.share;
  }
  EXPECT_EQ(sum, static_cast<double>(counts.total));
  EXPECT_NEAR(shares, 1, 1e-12);
  EXPECT_EQ(text(model, 0, ParamModel::PartColumn), "routed experts");
}

TEST(ParamModel, PartsOfEveryPresetAddUpAndFallInSize) {
  const std::vector<std::string> presets = spec::model_preset_names().value();
  ASSERT_GE(presets.size(), 5U);
  for (const std::string& preset : presets) {
    ParamModel model;
    const plan::ParamCounts counts = plan::count_params(spec::model_preset(preset).value().model);
    model.setCounts(counts);
    double sum = 0;
    for (int row = 0; row < model.rowCount(); ++row) {
      sum += model.row(row).count;
      EXPECT_GT(model.row(row).count, 0) << preset;
      if (row > 0) {
        EXPECT_LE(model.row(row).count, model.row(row - 1).count) << preset;
      }
    }
    EXPECT_EQ(sum, static_cast<double>(counts.total)) << preset;
  }
}

TEST(ParamModel, APartKeepsItsColourWhileOthersComeAndGo) {
  const auto colorOf = [](const ParamModel& model, const QString& part) {
    for (const ParamPart& row : model.rows()) {
      if (row.name == part) return row.colorIndex;
    }
    return -1;
  };
  ParamModel dense, sparse;
  dense.setCounts(plan::count_params(spec::model_preset("gpt2-124m").value().model));
  sparse.setCounts(plan::count_params(spec::model_preset("deepseek-v3").value().model));
  EXPECT_EQ(colorOf(dense, "routed experts"), -1);
  EXPECT_GE(colorOf(sparse, "routed experts"), 0);
  EXPECT_EQ(colorOf(dense, "attention"), colorOf(sparse, "attention"));
}

TEST(ParamModel, ATinyShareIsNotZero) {
  ParamModel model;
  model.setCounts(plan::count_params(spec::model_preset("moe-1t").value().model));
  EXPECT_EQ(text(model, model.rowCount() - 1, ParamModel::ShareColumn), "< 0.1 %");
}

TEST(ParamModel, DecoratesPartsWithTheColoursOfTheTheme) {
  ParamModel model;
  model.setCounts(plan::count_params(spec::model_preset("mixtral-8x7b").value().model));
  const QModelIndex part = model.index(0, ParamModel::PartColumn);
  EXPECT_FALSE(model.data(part, Qt::DecorationRole).isValid()) << "no colours yet";
  model.setColors(theme().series);
  EXPECT_EQ(model.data(part, Qt::DecorationRole).value<QColor>(),
            theme().seriesColor(model.row(0).colorIndex));
}

}  // namespace
}  // namespace tera::gui
