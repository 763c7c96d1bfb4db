// A whole window with a session and settings of its own, offscreen.
#pragma once
#include <QFile>

#include "gui/main_window.h"
#include "gui/page.h"
#include "gui/session.h"
#include "tests/gui/gui_test_support.h"

namespace tera::gui::test {

struct Window {
  Window() : settings(folder.filePath("settings.ini")), session(settings), window(session) {
    window.resize(1366, 768);
    window.show();
    EXPECT_TRUE(QTest::qWaitForWindowExposed(&window));
  }
  QString write(const QString& name, const QString& text) const {
    QFile file(folder.filePath(name));
    EXPECT_TRUE(file.open(QIODevice::WriteOnly));
    file.write(text.toUtf8());
    return file.fileName();
  }
  void open(const QString& text) {
    const Result<void> opened = window.openArgument(write("project.yaml", text));
    EXPECT_TRUE(opened) << (opened ? "" : opened.error().message);
    EXPECT_TRUE(ready());
  }
  bool ready() {
    return waitFor([this] { return window.currentPage()->isReady(); });
  }
  template <class P>
  P* page(const char* name) {
    return qobject_cast<P*>(window.showPage(QString::fromLatin1(name)));
  }
  QTemporaryDir folder;
  Settings settings;
  Session session;
  MainWindow window;
};

}  // namespace tera::gui::test
