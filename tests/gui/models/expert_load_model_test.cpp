#include "gui/models/expert_load_model.h"

#include <cmath>

#include "tests/gui/models/model_test_support.h"

namespace tera::gui {
namespace {

using test::kFatal;
using test::Tester;
using test::text;

TEST(ExpertLoadModel, DividesEachLayerByItsMean) {
  ExpertLoadModel model;
  const Tester tester(&model, kFatal);
  model.setLoads({{10, 30, 20, 20}, {0, 0, 0, 0}, {5, 5}}, {1, 2, 3}, 12);
  EXPECT_DOUBLE_EQ(model.ratio(0, 1), 1.5);
  EXPECT_DOUBLE_EQ(model.maxOverMean(0), 1.5);
  EXPECT_TRUE(std::isnan(model.ratio(1, 0)));  // no token at all says nothing about balance
  EXPECT_TRUE(std::isnan(model.ratio(2, 2)));  // a layer with fewer experts
  EXPECT_EQ(text(model, 1, 0), "n/a");
  EXPECT_EQ(model.headerData(0, Qt::Vertical, Qt::DisplayRole).toString(), "layer 1");
  model.setLoads({{1, 1, 1, 1}, {1, 1, 1, 1}, {1, 1, 1, 3}}, {1, 2, 3}, 13);
  EXPECT_DOUBLE_EQ(model.expertMean(3), (1 + 1 + 2) / 3.0);
  model.clear();
  EXPECT_EQ(model.columnCount(), 0);
}

TEST(ExpertLoadModel, TheSameShapeChangesInPlace) {
  ExpertLoadModel model;
  const Tester tester(&model, kFatal);
  const QSignalSpy resets(&model, &QAbstractItemModel::modelReset);
  const QSignalSpy changes(&model, &QAbstractItemModel::dataChanged);
  model.setLoads({{1, 3}}, {0}, 1);
  EXPECT_EQ(resets.count(), 1);
  model.setLoads({{2, 2}}, {0}, 2);
  EXPECT_EQ(resets.count(), 1);
  EXPECT_EQ(changes.count(), 1);
  EXPECT_EQ(model.step(), 2);
  EXPECT_EQ(text(model, 0, 1), "1.00×");
}

TEST(ExpertLoadModel, LastColumnIsMaxOverMean) {
  ExpertLoadModel model;
  model.setLoads({{1, 1, 1, 5}}, {7}, 1);
  EXPECT_EQ(model.columnCount(), 5);
  EXPECT_EQ(model.headerData(4, Qt::Horizontal, Qt::DisplayRole).toString(), "max / mean");
  EXPECT_EQ(model.headerData(2, Qt::Horizontal, Qt::DisplayRole).toString(), "E2");
  EXPECT_EQ(text(model, 0, 4), "2.50×");
}

TEST(ExpertLoadModel, ADeadExpertIsZeroNotMissing) {
  ExpertLoadModel model;
  model.setLoads({{0, 2}}, {0}, 1);
  EXPECT_EQ(model.ratio(0, 0), 0);
  EXPECT_EQ(text(model, 0, 0), "0.00×");
}

}  // namespace
}  // namespace tera::gui
