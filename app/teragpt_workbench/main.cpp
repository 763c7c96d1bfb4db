// The workbench: arguments, theme, window. --grab renders one page to a picture and exits.
#include <cstdio>

#include <QApplication>
#include <QCommandLineParser>
#include <QElapsedTimer>
#include <QTimer>
#include <fmt/format.h>

#include "core/base/log.h"
#include "gui/main_window.h"
#include "gui/text.h"
#include "gui/widgets/banner.h"

namespace {

using namespace tera;

constexpr int kUsage = 2;
constexpr int kMaxSize = 16384;  // pixels a side
constexpr int kGrabTimeoutMs = 30'000;
constexpr int kGrabPollMs = 50;
constexpr int kGrabSettleMs = 250;  // layout and the last frame of the charts after the data came

int usageError(const QString& message, const QString& hint = {}) {
  fmt::print(stderr, "error: {}\n", gui::ss(message));
  if (!hint.isEmpty()) fmt::print(stderr, "hint:  {}\n", gui::ss(hint));
  return kUsage;
}

// Grabs the window once its page has been ready for a moment.
class Grabber : public QObject {
 public:
  Grabber(gui::MainWindow& window, QString file) : m_window(window), m_file(std::move(file)) {
    m_age.start();
    m_timer.setInterval(kGrabPollMs);
    connect(&m_timer, &QTimer::timeout, this, [this] { look(); });
    m_timer.start();
  }

 private:
  void look() {
    if (!m_window.currentPage()->isReady()) {
      m_ready.invalidate();
      if (m_age.elapsed() > kGrabTimeoutMs)
        QCoreApplication::exit(usageError(
            QStringLiteral("the page got no data within %1 s").arg(kGrabTimeoutMs / 1000)));
      return;
    }
    if (!m_ready.isValid()) m_ready.start();
    if (m_ready.elapsed() < kGrabSettleMs) return;
    m_timer.stop();
    const bool written = m_window.grab().save(m_file, "PNG");
    QCoreApplication::exit(
        written ? 0 : usageError(QStringLiteral("cannot write the picture %1").arg(m_file)));
  }

  gui::MainWindow& m_window;
  QString m_file;
  QTimer m_timer;
  QElapsedTimer m_age, m_ready;
};

}  // namespace

int main(int argc, char** argv) {
  tera::log_to_stderr();
  QApplication application(argc, argv);
  QApplication::setApplicationName(QStringLiteral("teragpt-workbench"));
  QApplication::setApplicationDisplayName(QString());
  QApplication::setDesktopFileName(QStringLiteral("org.teragpt.Workbench"));
  QApplication::setApplicationVersion(QStringLiteral(TERA_VERSION));

  QCommandLineParser parser;
  parser.setApplicationDescription(QStringLiteral(
      "TeraGPT Workbench: design, plan, train and watch Mixture-of-Experts language models."));
  parser.addHelpOption();
  parser.addVersionOption();
  parser.addPositionalArgument(QStringLiteral("what"),
                               QStringLiteral("A spec file, a run directory, or the id of a run."),
                               QStringLiteral("[SPEC|RUN]"));
  const QCommandLineOption page(QStringLiteral("page"),
                                QStringLiteral("Page to show: %1.")
                                    .arg(gui::MainWindow::pageNames().join(QStringLiteral(", "))),
                                QStringLiteral("NAME"));
  const QCommandLineOption grab(
      QStringLiteral("grab"),
      QStringLiteral("Render the page when its data is in, write OUT.png, exit."),
      QStringLiteral("OUT.png"));
  const QCommandLineOption themeName(QStringLiteral("theme"),
                                     QStringLiteral("light or dark, for this start."),
                                     QStringLiteral("NAME"));
  const QCommandLineOption size(QStringLiteral("size"),
                                QStringLiteral("Size of the window, such as 1366x768."),
                                QStringLiteral("WxH"));
  parser.addOptions({page, grab, themeName, size});
  if (!parser.parse(QCoreApplication::arguments()))
    return usageError(parser.errorText(), QStringLiteral("see --help"));
  if (parser.isSet(QStringLiteral("help"))) parser.showHelp();
  if (parser.isSet(QStringLiteral("version"))) parser.showVersion();
  const QStringList what = parser.positionalArguments();
  if (what.size() > 1)
    return usageError(QStringLiteral("got %1 files, expected at most one").arg(what.size()));
  const QString theme = parser.value(themeName);
  if (!theme.isEmpty() && gui::themeChoiceFromName(theme) == gui::ThemeChoice::System)
    return usageError(QStringLiteral("--theme: got %1, expected light or dark").arg(theme));
  QSize wanted;
  if (parser.isSet(size)) {
    const QStringList parts = parser.value(size).split(QLatin1Char('x'));
    if (parts.size() == 2) wanted = {parts[0].toInt(), parts[1].toInt()};
    if (wanted.width() < gui::MainWindow::kMinWidth ||
        wanted.height() < gui::MainWindow::kMinHeight || wanted.width() > kMaxSize ||
        wanted.height() > kMaxSize) {
      return usageError(QStringLiteral("--size: got %1, expected %2x%3 to %4x%4")
                            .arg(parser.value(size))
                            .arg(gui::MainWindow::kMinWidth)
                            .arg(gui::MainWindow::kMinHeight)
                            .arg(kMaxSize));
    }
  }
  if (parser.isSet(page) && !gui::MainWindow::pageNames().contains(parser.value(page))) {
    return usageError(
        QStringLiteral("--page: got %1, expected one of %2")
            .arg(parser.value(page), gui::MainWindow::pageNames().join(QStringLiteral(", "))));
  }

  gui::Settings settings;
  gui::applyTheme(theme.isEmpty() ? settings.theme() : gui::themeChoiceFromName(theme));
  gui::Session session(settings);
  if (parser.isSet(grab)) session.setOnlyLooking();
  gui::MainWindow window(session);
  if (!parser.isSet(grab)) window.restoreLayout();  // pictures do not depend on the last session
  if (parser.isSet(grab) && !wanted.isValid()) wanted = {1366, 768};
  if (wanted.isValid()) window.resize(wanted);
  if (!what.isEmpty()) {
    if (const Result<void> opened = window.openArgument(what.front()); !opened) {
      const int code = usageError(gui::qs(opened.error().message), gui::qs(opened.error().hint));
      if (parser.isSet(grab)) return code;
      window.banner()->show(opened.error());  // who started it from a desktop sees no terminal
    }
  } else if (!parser.isSet(grab)) {
    window.reopen();
  }
  if (parser.isSet(page)) window.showPage(parser.value(page));
  window.show();
  if (!parser.isSet(grab)) return QApplication::exec();
  const Grabber grabber(window, parser.value(grab));
  return QApplication::exec();
}
