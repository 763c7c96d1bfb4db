#include "gui/models/run_list_model.h"

#include "tests/gui/models/model_test_support.h"

namespace tera::gui {
namespace {

using test::kFatal;
using test::Tester;
using test::text;

TEST(RunListModel, SaysNotAvailableInsteadOfZero) {
  RunListModel model;
  const Tester tester(&model, kFatal);
  run::RunStatus fresh;
  fresh.name = "toy";
  fresh.last_loss = std::nan("");
  model.setRows({fresh});
  EXPECT_EQ(text(model, 0, RunListModel::LossColumn), "n/a");
  EXPECT_EQ(text(model, 0, RunListModel::StateColumn), "○ created");
  model.setRows({fresh, fresh, fresh});
  model.setRows({});
  EXPECT_EQ(model.rowCount(), 0);
}

TEST(RunListModel, CellsSayStateStepLossAndEvidence) {
  RunListModel model;
  run::RunStatus status;
  status.name = "toy";
  status.path = "/runs/7";
  status.state = run::RunState::died;
  status.step = 1234;
  status.num_steps = 5000;
  status.last_loss = 4.25;
  status.detail = "its process is gone";
  model.setRows({status});
  EXPECT_EQ(text(model, 0, RunListModel::StateColumn), "■ died");
  EXPECT_EQ(text(model, 0, RunListModel::StepColumn), "1,234 / 5,000");
  EXPECT_EQ(text(model, 0, RunListModel::LossColumn), "4.2500");
  EXPECT_EQ(text(model, 0, RunListModel::DetailColumn), "its process is gone");
  EXPECT_EQ(model.data(model.index(0, 0), RunListModel::PathRole).toString(), "/runs/7");
  EXPECT_FALSE(model.data(model.index(0, 0), RunListModel::AliveRole).toBool());
}

// The list is read anew every two seconds; the selection of a person stays where it is.
TEST(RunListModel, ARereadKeepsPersistentIndexes) {
  RunListModel model;
  const Tester tester(&model, kFatal);
  run::RunStatus a, b;
  a.name = "a";
  b.name = "b";
  model.setRows({a, b});
  const QPersistentModelIndex second = model.index(1, 0);
  a.step = 9;
  model.setRows({a, b});
  ASSERT_TRUE(second.isValid());
  EXPECT_EQ(second.row(), 1);
}

}  // namespace
}  // namespace tera::gui
