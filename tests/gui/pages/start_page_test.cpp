#include "gui/pages/start_page.h"

#include <QFile>
#include <QLabel>
#include <QListWidget>
#include <QMessageBox>
#include <QPushButton>
#include <QTableView>

#include "gui/widgets/template_list.h"
#include "tests/gui/find_widget.h"
#include "tests/gui/test_program.h"
#include "tests/gui/test_window.h"

namespace tera::gui {
namespace {

using test::kToy;
using test::Window;

struct Start {
  Start() {
    page = w.page<StartPage>("start");
    EXPECT_TRUE(w.ready());
    recent = test::called<QListWidget>(*page, "Recent projects");
  }
  QString bannerText() { return page->findChild<Banner*>()->message(); }
  QPushButton* button(const QString& end) {
    for (auto* one : page->findChildren<QPushButton*>())
      if (one->accessibleName().endsWith(end) || one->text() == end) return one;
    return nullptr;
  }
  Window w;
  StartPage* page;
  QListWidget* recent;
};

TEST(Start, FocusesTheButtonANewcomerWants) {
  const Start s;
  EXPECT_EQ(QApplication::focusWidget(), s.page->tryButton());
  EXPECT_TRUE(s.page->tryButton()->isDefault());
}

TEST(Start, ATrillionParametersArePlannedWithOneClick) {
  Start s;
  s.button("moe-1t")->click();
  EXPECT_EQ(s.w.window.currentPageName(), "design");
  ASSERT_TRUE(s.w.ready());
  EXPECT_GT(s.w.session.estimate()->params.total, 1'000'000'000'000);
  EXPECT_TRUE(s.w.session.filePath().isEmpty());
}

TEST(Start, ListsTheRunsOfThisComputerAndOpensOne) {
  Start s;
  const QString run = qs(test::makeRun(run::default_runs_root().string(), {.steps = 7}));
  s.page->setInView(true);
  ASSERT_TRUE(test::waitFor([&] { return s.page->runs().rowCount() > 0; }));
  auto* table = s.page->findChild<QTableView*>();
  EXPECT_TRUE(table->isVisible());
  int row = -1;
  for (int i = 0; i < s.page->runs().rowCount(); ++i)
    if (s.page->runs().index(i, 0).data(RunListModel::PathRole).toString() == run) row = i;
  ASSERT_GE(row, 0);
  table->setCurrentIndex(s.page->runs().index(row, 0));
  table->setFocus();
  QTest::keyClick(table, Qt::Key_Return);
  EXPECT_EQ(s.w.window.currentPageName(), "monitor");
  EXPECT_EQ(s.w.session.feed().path(), run);
}

TEST(Start, ARunThatCannotBeReadIsSaidNotDropped) {
  const QTemporaryDir root;
  const QByteArray before = qgetenv("TERA_RUNS");
  qputenv("TERA_RUNS", root.path().toUtf8());
  ASSERT_TRUE(QDir(root.path()).mkdir("20260101-000000-aaaaaaaa"));
  QFile file(root.filePath("20260101-000000-aaaaaaaa/spec.yaml"));
  ASSERT_TRUE(file.open(QIODevice::WriteOnly));
  file.write("][");
  file.close();
  Start s;
  bool said = false;
  for (const auto* label : s.page->findChildren<QLabel*>())
    said = said || (label->isVisible() && label->text().contains("20260101-000000-aaaaaaaa"));
  EXPECT_TRUE(said);
  qputenv("TERA_RUNS", before);
}

TEST(Start, WithoutRunsAndProjectsItSaysWhatWillAppear) {
  const QTemporaryDir root;
  const QByteArray before = qgetenv("TERA_RUNS");
  qputenv("TERA_RUNS", root.filePath("none").toUtf8());
  Start s;
  EXPECT_EQ(s.recent->item(0)->text(), "Projects you open appear here.");
  EXPECT_FALSE(s.page->findChild<QTableView*>()->isVisible());
  bool said = false;
  for (const auto* label : s.page->findChildren<QLabel*>())
    said = said || (label->isVisible() && label->text().startsWith("No run yet."));
  EXPECT_TRUE(said);
  qputenv("TERA_RUNS", before);
}

TEST(Start, RecentProjectsOpenAndMissingOnesCanBeForgotten) {
  Start s;
  const QString project = s.w.write("recent.yaml", kToy);
  s.w.settings.addRecentFile("/no/such/file.yaml");
  s.w.settings.addRecentFile(project);
  ASSERT_EQ(s.recent->count(), 2);
  EXPECT_TRUE(s.recent->item(1)->text().contains("file missing"));
  emit s.recent->itemActivated(s.recent->item(1));
  EXPECT_TRUE(s.bannerText().contains("/no/such/file.yaml is not there any more"))
      << ss(s.bannerText());
  s.button("Forget it")->click();
  EXPECT_EQ(s.recent->count(), 1);
  emit s.recent->itemActivated(s.recent->item(0));
  EXPECT_EQ(s.w.window.currentPageName(), "design");
  EXPECT_EQ(s.w.session.filePath(), project);
}

TEST(Start, EditsAreAskedAboutBeforeATemplateTakesTheirPlace) {
  Start s;
  s.w.open(kToy);
  ASSERT_TRUE(s.w.session.document().setField("seed", "5"));
  s.w.window.showPage("start");
  s.button("gpt2-124m")->click();
  auto* box = s.w.window.findChild<QMessageBox*>();
  ASSERT_NE(box, nullptr);
  EXPECT_EQ(s.w.session.document().spec().seed, 5U) << "nothing happens before the answer";
  box->button(QMessageBox::Discard)->click();
  EXPECT_EQ(s.w.window.currentPageName(), "design");
  EXPECT_NE(s.w.session.document().spec().seed, 5U);
  EXPECT_TRUE(s.w.session.filePath().isEmpty());
}

TEST(Start, TryItShowsProgressAndOpensTheProject) {
  const QTemporaryDir folder;
  const QString project = folder.filePath("tiny.yaml");
  QFile file(project);
  ASSERT_TRUE(file.open(QIODevice::WriteOnly));
  file.write(kToy);
  file.close();
  const QString gate = folder.filePath("go");
  Start s;
  s.page->demo().prepare(
      test::fakeTeragpt(folder, "echo 'text: 4 documents' >&2\nwhile [ ! -e " + gate +
                                    " ]; do sleep 0.02; done\n"
                                    "echo '{\"schema\":\"teragpt.demo/1\",\"spec\":\"" +
                                    project + "\"}'\n"),
      folder.filePath("out"));
  bool said = false;
  ASSERT_TRUE(test::waitFor([&] {
    for (const auto* label : s.page->findChildren<QLabel*>())
      said = said || label->text() == "text: 4 documents";
    return said;
  }));
  QFile go(gate);
  ASSERT_TRUE(go.open(QIODevice::WriteOnly));
  go.close();
  ASSERT_TRUE(test::waitFor([&] { return s.w.window.currentPageName() == "design"; }));
  EXPECT_EQ(s.w.session.filePath(), project);
}

}  // namespace
}  // namespace tera::gui
