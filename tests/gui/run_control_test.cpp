// A real `teragpt train` under the window: launched from the page, stopped from the Monitor page,
// and kept or stopped when the window closes.
#include <QMessageBox>
#include <QPushButton>

#include "core/launch/launcher.h"
#include "core/spec/yaml.h"
#include "gui/pages/launch_page.h"
#include "gui/pages/monitor_page.h"
#include "gui/widgets/banner.h"
#include "tests/gui/find_widget.h"
#include "tests/gui/test_window.h"
#include "tests/support/toy_dataset.h"

namespace tera::gui {
namespace {

namespace fs = std::filesystem;

class RunControl : public testing::Test {
 protected:
  void SetUp() override {
    root_ = ss(folder_.path());
    qputenv("TERA_RUNS", (root_ / "runs").c_str());
    tera::test::write_toy_dataset(root_ / "toy");
    spec::RunSpec spec = test::specOf("tiny-moe", "toy");
    spec.model.num_layers = 1;
    spec.model.hidden_size = 32;
    spec.model.num_attention_heads = 2;
    spec.model.num_key_value_heads = 2;
    spec.model.head_dim = 16;
    spec.model.vocab_size = 64;
    spec.model.moe_ffn_hidden_size = 32;
    spec.training.seq_length = 32;
    spec.training.global_batch_size = 4;
    spec.training.num_steps = 1'000'000;
    spec.training.checkpoint_interval = 100'000;
    spec.training.eval_interval = 0;
    spec.layout.micro_batch_size = 4;
    spec.launch.num_threads = 1;
    spec.data.datasets = {{.path = (root_ / "toy").string(), .manifest = "", .weight = 1}};
    text_ = qs(spec::to_yaml(spec));
  }
  void TearDown() override {
    const Result<run::RunList> list = run::list_runs(posix_vfs(), root_ / "runs");
    for (const run::RunStatus& status : list->runs) {
      if (!status.alive) continue;
      EXPECT_TRUE(launch::make_local_launcher()->stop(directory(status.id), true));
    }
  }
  run::RunDirectory directory(const std::string& id) const {
    return run::RunDirectory::planned(posix_vfs(), root_ / "runs", id);
  }
  run::RunStatus onlyRun() const {
    const run::RunList list = run::list_runs(posix_vfs(), root_ / "runs").value();
    EXPECT_EQ(list.runs.size(), 1U);
    return list.runs.front();
  }

  // From the project to a run with three steps on the Monitor page.
  void launchAndWatch(test::Window& w) {
    w.open(text_);
    auto* page = w.page<LaunchPage>("launch");
    ASSERT_TRUE(w.ready());
    for (const launch::Check& check : page->checks().rows())
      EXPECT_NE(check.state, launch::CheckState::failed) << check.name << ": " << check.detail;
    ASSERT_TRUE(page->launchButton()->isEnabled());
    page->launchButton()->click();
    ASSERT_TRUE(test::waitFor([&] {
      auto* monitor = qobject_cast<MonitorPage*>(w.window.currentPage());
      return monitor != nullptr && w.session.runIsAlive() &&
             monitor->lossModel().raw(0).size() >= 3;
    }));
  }
  // It left as after Ctrl-C: the newest checkpoint is of its last step.
  void expectStoppedWithACheckpoint() const {
    const run::RunStatus status = onlyRun();
    EXPECT_EQ(status.state, run::RunState::stopped) << status.detail;
    EXPECT_GE(status.step, 3);
    const fs::path checkpoint =
        directory(status.id).checkpoints_dir() / fmt::format("step-{:09}", status.step) / "COMMIT";
    EXPECT_TRUE(fs::exists(checkpoint)) << checkpoint;
  }
  // Closes the window and presses a button of the question that comes.
  static void closeAndAnswer(test::Window& w, const char* text) {
    EXPECT_FALSE(w.window.close()) << "it asks first";
    auto* box = w.window.findChild<QMessageBox*>();
    ASSERT_NE(box, nullptr);
    for (QAbstractButton* button : box->buttons()) {
      if (button->text().remove(QLatin1Char('&')) == QLatin1String(text)) return button->click();
    }
    FAIL() << "no button " << text;
  }

  QTemporaryDir folder_;
  fs::path root_;
  QString text_;
};

TEST_F(RunControl, StopOnTheMonitorPageEndsTheRunWithACheckpoint) {
  test::Window w;
  ASSERT_NO_FATAL_FAILURE(launchAndWatch(w));
  auto* monitor = qobject_cast<MonitorPage*>(w.window.currentPage());
  QAbstractButton* stop = test::buttonSaying(*monitor, "Stop");
  ASSERT_NE(stop, nullptr);
  ASSERT_TRUE(stop->isEnabled());
  stop->click();
  EXPECT_EQ(monitor->stateText(), "▲ stopping");
  EXPECT_FALSE(stop->isEnabled()) << "asked once";
  ASSERT_TRUE(test::waitFor([&] { return monitor->stateText() == QString("▲ stopped"); }));
  const run::RunStatus status = onlyRun();
  EXPECT_NE(
      ss(monitor->findChild<Banner*>()->message())
          .find(fmt::format("Stopped after a checkpoint at step {}. Go on with: teragpt launch "
                            "--run {} --resume",
                            status.step, status.id)),
      std::string::npos)
      << ss(monitor->findChild<Banner*>()->message());
  EXPECT_TRUE(w.window.isVisible());
  expectStoppedWithACheckpoint();
}

TEST_F(RunControl, ClosingTheWindowCanKeepTheRun) {
  test::Window w;
  ASSERT_NO_FATAL_FAILURE(launchAndWatch(w));
  closeAndAnswer(w, "Cancel");
  EXPECT_TRUE(w.window.isVisible());
  EXPECT_TRUE(onlyRun().alive);
  ASSERT_TRUE(test::waitFor([&] { return w.window.findChild<QMessageBox*>() == nullptr; }));
  closeAndAnswer(w, "Keep running");
  ASSERT_TRUE(test::waitFor([&] { return !w.window.isVisible(); }));
  const std::int64_t step = onlyRun().step;
  ASSERT_TRUE(test::waitFor([&] { return onlyRun().step > step; })) << "it trains on";
  EXPECT_EQ(onlyRun().state, run::RunState::running);
}

TEST_F(RunControl, ClosingTheWindowCanStopTheRun) {
  test::Window w;
  ASSERT_NO_FATAL_FAILURE(launchAndWatch(w));
  closeAndAnswer(w, "Stop the run");
  ASSERT_TRUE(test::waitFor([&] { return !w.window.isVisible(); }));
  expectStoppedWithACheckpoint();
}

TEST_F(RunControl, ARunThatEndsWhileTheQuestionIsOpenLetsTheWindowClose) {
  test::Window w;
  ASSERT_NO_FATAL_FAILURE(launchAndWatch(w));
  EXPECT_FALSE(w.window.close());
  auto* box = w.window.findChild<QMessageBox*>();
  ASSERT_NE(box, nullptr);
  ASSERT_TRUE(launch::make_local_launcher()->stop(directory(onlyRun().id), false));
  ASSERT_TRUE(test::waitFor([&] { return !w.session.runIsAlive(); }));
  for (QAbstractButton* button : box->buttons()) {
    if (button->text() == QLatin1String("&Stop the run")) button->click();
  }
  EXPECT_TRUE(test::waitFor([&] { return !w.window.isVisible(); }));
}

}  // namespace
}  // namespace tera::gui
