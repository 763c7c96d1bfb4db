// MainWindow: rail of pages, estimate strip, docks, menus. Pages are built on first visit.
#pragma once
#include <functional>

#include <QMainWindow>
#include <QMap>
#include <QTimer>

#include "gui/page.h"
#include "gui/session.h"

class QDockWidget;
class QListWidget;
class QScrollArea;
class QStackedWidget;
class QToolButton;

namespace tera::gui {

class Banner;
class CommandPalette;
class ElidedLabel;
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

  // A spec file, a run directory, or the id of a run; what is open now goes, edits and all.
  Result<void> openArgument(const QString& argument);
  // The same for a person at the window: asks about edits first, and says what is wrong.
  void open(const QString& what);
  // Sizes, docks and splitters of the last time; then reopen() its project, run and page.
  void restoreLayout();
  void reopen();
  void saveLayout();
  CommandPalette* showPalette();
  YamlEditor* yaml() { return m_yaml; }
  ProblemsPanel* problems() { return m_problems; }
  EstimateStrip* strip() { return m_strip; }
  Banner* banner() { return m_banner; }

 protected:
  void closeEvent(QCloseEvent* event) override;
  void resizeEvent(QResizeEvent* event) override;
  void moveEvent(QMoveEvent* event) override;
  void dragEnterEvent(QDragEnterEvent* event) override;
  void dropEvent(QDropEvent* event) override;
  bool eventFilter(QObject* watched, QEvent* event) override;  // docks closed by their own button

 private:
  struct Entry {
    QString name, title, icon;
    std::function<Page*()> make;
    Page* page = nullptr;                 // null until the first visit
    QScrollArea* frame = nullptr;         // around it: what does not fit scrolls, and is never cut
    QMap<QString, QByteArray> made = {};  // its splitters as they were made, for Reset layout
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
  void goToBrokenLine();
  void buildPage(Entry& entry);
  std::vector<std::pair<QDockWidget*, QAction*>> docks() const;
  void resetLayout();
  void layoutChanged();
  void newFromTemplate(const QString& preset);
  void chooseFile();
  void closeProject();
  bool saveProject();
  void saveAs(const std::function<void()>& afterwards = {});
  void savePicture();
  void runIt();
  void runStarted(const QString& path);
  void makeToolBar(QAction* run);
  void cycleRegion(int by);
  void cycleTheme();
  // Runs it at once when there is nothing to lose, else when a person has saved or discarded.
  void afterEdits(const std::function<void()>& run);
  void askAboutRun();

  Session& m_session;
  std::vector<Entry> m_pages;
  Banner* m_banner = nullptr;  // messages that belong to no page
  QTimer m_saveLayout;         // a while after the last change
  QByteArray m_madeDocks;      // as they were made, for Reset layout
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
  ElidedLabel* m_savedLabel = nullptr;
  QString m_runLine;
  bool m_runAnswered = false;  // while closing
  bool m_closeWhenStopped = false;
};

}  // namespace tera::gui
