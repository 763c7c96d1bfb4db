#include "gui/models/term_tree_model.h"

#include "core/plan/estimate.h"
#include "tests/gui/models/model_test_support.h"

namespace tera::gui {
namespace {

using test::kFatal;
using test::Tester;

TEST(TermTreeModel, FollowsAnEstimateAndFindsTerms) {
  TermTreeModel model;
  const Tester tester(&model, kFatal);
  const plan::Estimate small = plan::estimate(test::specOf("tiny-moe", "a")).value();
  model.setTerms({small.step_time, small.stages.front().memory});
  EXPECT_EQ(model.rowCount(), 2);
  const QModelIndex first = model.index(0, 0);
  EXPECT_EQ(model.rowCount(first), static_cast<int>(small.step_time.children.size()));
  const QString path = qs(small.step_time.label + "/" + small.step_time.children.front().label);
  const QModelIndex found = model.find(path);
  ASSERT_TRUE(found.isValid());
  EXPECT_EQ(model.parent(found), first);
  EXPECT_FALSE(model.find("step time/no such").isValid());
  // The same shape with other numbers keeps its nodes, so a view keeps what is expanded.
  spec::RunSpec wider = test::specOf("tiny-moe", "a");
  wider.training.global_batch_size *= 2;
  const plan::Estimate more = plan::estimate(wider).value();
  const QPersistentModelIndex kept = found;
  model.setTerms({more.step_time, more.stages.front().memory});
  EXPECT_TRUE(kept.isValid());
  model.setTerms({});
  EXPECT_EQ(model.rowCount(), 0);
}

TEST(TermTreeModel, CellsSayValueFormulaAndSource) {
  TermTreeModel model;
  const Tester tester(&model, kFatal);
  plan::Term leaf{.label = "weights",
                  .value = 2048,
                  .unit = "B",
                  .formula = "1024 x 2 B",
                  .source = "bfloat16",
                  .children = {},
                  .origin = spec::Origin::measured};
  model.setTerms({plan::sum_term("memory", "B", {leaf})});
  const QModelIndex found = model.find("memory/weights");
  ASSERT_TRUE(found.isValid());
  const auto cell = [&](int column) {
    return model.data(found.siblingAtColumn(column)).toString();
  };
  EXPECT_EQ(cell(TermTreeModel::LabelColumn), "weights");
  EXPECT_EQ(cell(TermTreeModel::ValueColumn), "2.00 KiB");
  EXPECT_EQ(cell(TermTreeModel::OriginColumn), "measured");
  EXPECT_EQ(cell(TermTreeModel::FormulaColumn), "1024 x 2 B");
  EXPECT_EQ(cell(TermTreeModel::SourceColumn), "bfloat16");
  EXPECT_EQ(model.data(found, Qt::ToolTipRole).toString(), "1024 x 2 B\nbfloat16");
}

TEST(TermTreeModel, AnotherShapeIsAReset) {
  TermTreeModel model;
  const Tester tester(&model, kFatal);
  const QSignalSpy resets(&model, &QAbstractItemModel::modelReset);
  const QSignalSpy changes(&model, &QAbstractItemModel::dataChanged);
  plan::Term a{.label = "a", .value = 1, .unit = "", .formula = "", .source = "", .children = {}};
  plan::Term b = a;
  b.label = "b";
  model.setTerms({plan::sum_term("t", "", {a})});
  EXPECT_EQ(resets.count(), 1);
  a.value = 5;
  model.setTerms({plan::sum_term("t", "", {a})});
  EXPECT_EQ(resets.count(), 1);
  EXPECT_GT(changes.count(), 0);
  EXPECT_EQ(model.data(model.find("t/a").siblingAtColumn(TermTreeModel::ValueColumn)), "5");
  model.setTerms({plan::sum_term("t", "", {a, b})});
  EXPECT_EQ(resets.count(), 2);
  EXPECT_TRUE(model.find("t/b").isValid());
}

}  // namespace
}  // namespace tera::gui
