// MainWindow: rail of pages, estimate strip, docks, menus. Pages are built on first visit.
#pragma once
#include <functional>

#include <QMainWindow>

#include "gui/page.h"
#include "gui/session.h"

class QDockWidget;
class QLabel;
class QListWidget;
class QStackedWidget;
class QToolButton;

namespace tera::gui {

class CommandPalette;
class EstimateStrip;
class ExplainPanel;
class ProblemsPanel;
class YamlEditor;

class MainWindow : public QMainWindow {
  Q_OBJECT
 public:
  static constexpr int kStateVersion = 1;  // of docks and toolbars, for restoreState
  static constexpr int kMinWidth = 1024, kMinHeight = 640;
  static constexpr int kWideRail = 1280;  // below this width the rail shows icons only

  explicit MainWindow(Session& session, QWidget* parent = nullptr);

  static QStringList pageNames();       // "start", "design", "launch", "monitor"
  Page* showPage(const QString& name);  // null: no such page
  Page* currentPage() const;
  QString currentPageName() const;

  // A spec file, a run directory, or the id of a run.
  Result<void> openArgument(const QString& argument);
  void restoreLayout();
  CommandPalette* showPalette();
  YamlEditor* yaml() { return m_yaml; }
  ProblemsPanel* problems() { return m_problems; }
  EstimateStrip* strip() { return m_strip; }

 protected:
  void closeEvent(QCloseEvent* event) override;
  void resizeEvent(QResizeEvent* event) override;
  void dragEnterEvent(QDragEnterEvent* event) override;
  void dropEvent(QDropEvent* event) override;
  bool eventFilter(QObject* watched, QEvent* event) override;  // docks closed by their own button

 private:
  struct Entry {
    QString name, title, icon;
    std::function<Page*()> make;
    Page* page = nullptr;
  };
  void makePages();
  void makeMenus();
  void makeFileMenu();
  void makeEditMenu();
  void makeViewMenu();
  void makeRunMenu();
  void makeHelpMenu();
  void makeDocks();
  void makeStatusBar();
  QAction* action(QMenu* menu,
                  const QString& text,
                  const QKeySequence& keys,
                  const std::function<void()>& run,
                  const QString& icon = {});
  Entry* entry(const QString& name);
  void showDocks();
  void showTitle();
  void showEstimate();
  void goToField(const std::string& path, int line);
  void toggleYaml(bool on);
  void chooseFile();
  bool saveProject();
  void saveAs(const std::function<void()>& afterwards = {});
  void runIt();
  void runStarted(const QString& path);
  void say(const QString& message, bool isProblem);
  void cycleRegion(int by);
  void cycleTheme();
  void askAboutEdits();
  void askAboutRun();

  Session& m_session;
  std::vector<Entry> m_pages;
  QListWidget* m_rail = nullptr;
  QStackedWidget* m_stack = nullptr;
  EstimateStrip* m_strip = nullptr;
  QWidget* m_stripHost = nullptr;
  QDockWidget* m_problemsDock = nullptr;
  QDockWidget* m_explainDock = nullptr;
  QDockWidget* m_yamlDock = nullptr;
  ProblemsPanel* m_problems = nullptr;
  ExplainPanel* m_explain = nullptr;
  YamlEditor* m_yaml = nullptr;
  QAction* m_yamlAction = nullptr;
  QAction* m_problemsAction = nullptr;
  QAction* m_explainAction = nullptr;
  QAction* m_stopAction = nullptr;
  QToolButton* m_problemsButton = nullptr;
  QLabel* m_savedLabel = nullptr;
  QString m_runLine;
  bool m_editsAnswered = false, m_runAnswered = false;  // while closing
  bool m_closeWhenStopped = false;
};

}  // namespace tera::gui
