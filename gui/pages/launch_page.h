// LaunchPage: what will run on this computer, whether it can, and the button that starts it. The
// child survives this window; what starts is exactly what is shown.
#pragma once
#include <memory>

#include <QPlainTextEdit>

#include "core/launch/launcher.h"
#include "gui/job.h"
#include "gui/models/preflight_model.h"
#include "gui/page.h"
#include "gui/widgets/banner.h"

class QPushButton;

namespace tera::gui {

class Session;
class ToneLabel;

// What a look at the project found, from a worker thread.
struct LaunchPreview {
  std::vector<launch::Check> checks;
  std::string command;  // the line that would run, with a word for the id it will get
  double expected_s = 0, expected_usd = 0;
};

class LaunchPage : public Page {
  Q_OBJECT
 public:
  explicit LaunchPage(Session& session, QWidget* parent = nullptr);
  bool isReady() const override { return !m_looking.busy() && !m_starting.busy(); }
  void setInView(bool inView) override;

  // F5: looks again and starts when everything is green; else stays here and shows what is not.
  void launchIfGreen();
  PreflightModel& checks() { return m_checks; }
  QPushButton* launchButton() { return m_launch; }

 signals:
  void launched(const QString& runPath);

 private:
  struct Started {
    std::string path;
    std::int64_t pid = 0;
  };
  void check();
  void showPreview(const LaunchPreview& preview);
  void launch();
  QWidget* makeChecks();
  QWidget* makeCommand();

  Session& m_session;
  Banner* m_banner;
  PreflightModel m_checks;
  QPlainTextEdit* m_command = nullptr;
  ToneLabel* m_verdict = nullptr;
  QPushButton* m_launch = nullptr;
  bool m_inView = false;
  bool m_launchWhenGreen = false;
  LatestJob<LaunchPreview> m_looking;
  LatestJob<Result<Started>> m_starting;
};

}  // namespace tera::gui
