// A window on its Monitor page, and the run it shows.
#pragma once
#include "gui/models/diagnostic_model.h"
#include "gui/pages/monitor_page.h"
#include "tests/gui/test_window.h"

namespace tera::gui::test {

struct Monitor {
  Monitor() { page = w.page<MonitorPage>("monitor"); }
  // Makes a run and shows it.
  QString open(const SyntheticRun& wanted) {
    path = qs(test::makeRun(ss(w.folder.path()), wanted));
    show();
    return path;
  }
  void show() {
    const Result<void> opened = w.window.openArgument(path);
    EXPECT_TRUE(opened) << (opened ? "" : opened.error().message);
    EXPECT_TRUE(w.ready());
  }
  run::RunDirectory dir() const { return run::RunDirectory::open(posix_vfs(), ss(path)).value(); }
  bool attends(const std::string& words) const {
    for (const Diagnostic& found : page->attentionModel().rows())
      if (found.message.find(words) != std::string::npos) return true;
    return false;
  }
  Window w;
  MonitorPage* page;
  QString path;
};

}  // namespace tera::gui::test
