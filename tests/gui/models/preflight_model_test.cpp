#include "gui/models/preflight_model.h"

#include "tests/gui/models/model_test_support.h"

namespace tera::gui {
namespace {

using test::kFatal;
using test::Tester;
using test::text;

TEST(PreflightModel, CountsAndTester) {
  PreflightModel model;
  const Tester tester(&model, kFatal);
  using launch::CheckState;
  model.setRows({{.state = CheckState::ok, .name = "a", .detail = "b"},
                 {.state = CheckState::failed, .name = "data", .detail = "d", .hint = "e"}});
  EXPECT_EQ(model.count(CheckState::failed), 1);
  EXPECT_EQ(text(model, 1, PreflightModel::NameColumn), "Data");
  EXPECT_EQ(text(model, 1, PreflightModel::DetailColumn), "d — e");
}

}  // namespace
}  // namespace tera::gui
