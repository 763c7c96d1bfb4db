// main of the widget tests: a QApplication, offscreen, with folders of its own.
#include <QApplication>
#include <QTemporaryDir>
#include <gtest/gtest.h>

#include "gui/theme.h"
#include "tests/support/test_environment.h"

int main(int argc, char** argv) {
  tera::test::set_test_environment();
  const QTemporaryDir home;
  for (const char* name : {"HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_STATE_HOME",
                           "XDG_CACHE_HOME", "XDG_RUNTIME_DIR"})
    qputenv(name, home.path().toUtf8());
  qputenv("TERA_RUNS", (home.path() + "/runs").toUtf8());
  qunsetenv("DBUS_SESSION_BUS_ADDRESS");
  QApplication application(argc, argv);
  tera::gui::applyTheme(tera::gui::ThemeChoice::Dark);
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
