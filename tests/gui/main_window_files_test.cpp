// Opening, saving and closing, and what is asked before edits are left alone.
#include <QFile>
#include <QMessageBox>
#include <QMimeData>
#include <QPushButton>

#include "gui/widgets/banner.h"
#include "tests/gui/test_window.h"

namespace tera::gui {
namespace {

using test::kToy;
using test::Window;

QMessageBox* question(Window& w) {
  for (auto* box : w.window.findChildren<QMessageBox*>())
    if (box->isVisible()) return box;
  return nullptr;
}

QString contents(const QString& path) {
  QFile file(path);
  EXPECT_TRUE(file.open(QIODevice::ReadOnly));
  return QString::fromUtf8(file.readAll());
}

void edit(Window& w) {
  ASSERT_TRUE(w.session.document().setField("training.num_steps", "77"));
  ASSERT_TRUE(w.session.isDirty());
}

TEST(WindowFiles, AMissingArgumentSaysWhatItGotAndWhatItWants) {
  Window w;
  for (const char* argument : {"nofile.yaml", "/no/such/folder/nofile.yaml"}) {
    const Result<void> opened = w.window.openArgument(argument);
    ASSERT_FALSE(opened);
    EXPECT_EQ(opened.error().message,
              std::string(argument) +
                  ": there is no such file or run; expected a spec in YAML, a "
                  "run directory, or the id of a run");
    EXPECT_NE(opened.error().hint.find("teragpt init"), std::string::npos);
  }
  EXPECT_EQ(w.window.currentPageName(), "start");
}

TEST(WindowFiles, AFolderThatIsNoRunSaysSo) {
  Window w;
  const Result<void> opened = w.window.openArgument(w.folder.path());
  ASSERT_FALSE(opened);
  EXPECT_NE(opened.error().message.find("not a run directory"), std::string::npos)
      << opened.error().message;
}

TEST(WindowFiles, ARunIsOpenedByItsFolderItsIdAndItsSpec) {
  Window w;
  const QString run = qs(test::makeRun(run::default_runs_root().string(), {.steps = 3}));
  for (const QString& name : {run, run.section('/', -1), run + "/spec.yaml"}) {
    w.session.feed().attach({});
    const Result<void> opened = w.window.openArgument(name);
    ASSERT_TRUE(opened) << opened.error().message;
    EXPECT_EQ(w.session.feed().path(), run) << ss(name);
    EXPECT_EQ(w.window.currentPageName(), "monitor");
  }
  EXPECT_FALSE(w.session.hasProject()) << "the spec of a run is no project to edit";
}

TEST(WindowFiles, ClosingWithEditsSavesDiscardsOrStays) {
  {
    Window w;
    w.open(kToy);
    edit(w);
    EXPECT_FALSE(w.window.close());
    question(w)->button(QMessageBox::Save)->click();
    EXPECT_TRUE(test::waitFor([&] { return !w.window.isVisible(); }));
    EXPECT_TRUE(contents(w.session.filePath()).contains("num_steps: 77"));
  }
  {
    Window w;
    w.open(kToy);
    edit(w);
    EXPECT_FALSE(w.window.close());
    question(w)->button(QMessageBox::Discard)->click();
    EXPECT_TRUE(test::waitFor([&] { return !w.window.isVisible(); })) << "asked once";
    EXPECT_EQ(contents(w.session.filePath()), QString(kToy));
  }
  {
    Window w;
    w.open(kToy);
    edit(w);
    EXPECT_FALSE(w.window.close());
    question(w)->button(QMessageBox::Cancel)->click();
    EXPECT_TRUE(w.window.isVisible());
    EXPECT_TRUE(w.session.isDirty());
    w.session.discardEdits();
  }
}

TEST(WindowFiles, AnotherProjectWaitsForTheAnswer) {
  Window w;
  w.open(kToy);
  edit(w);
  const QString other = w.write("other.yaml", QString(kToy).replace("toy", "second"));
  w.window.open(other);
  EXPECT_EQ(w.session.title(), "project");
  question(w)->button(QMessageBox::Save)->click();
  EXPECT_EQ(w.session.title(), "other");
  EXPECT_TRUE(contents(w.folder.filePath("project.yaml")).contains("num_steps: 77"));
}

TEST(WindowFiles, ClosingTheProjectNeverSavesUnasked) {
  Window w;
  w.open(kToy);
  edit(w);
  QTest::keyClick(&w.window, Qt::Key_W, Qt::ControlModifier);
  ASSERT_NE(question(w), nullptr);
  EXPECT_EQ(contents(w.session.filePath()), QString(kToy));
  question(w)->button(QMessageBox::Discard)->click();
  EXPECT_FALSE(w.session.hasProject());
  EXPECT_EQ(w.window.currentPageName(), "start");
  EXPECT_EQ(contents(w.folder.filePath("project.yaml")), QString(kToy));
}

TEST(WindowFiles, ARunAttachesWithoutAQuestion) {
  Window w;
  w.open(kToy);
  edit(w);
  w.window.open(qs(test::makeRun(ss(w.folder.path()), {.steps = 3})));
  EXPECT_EQ(question(w), nullptr);
  EXPECT_EQ(w.window.currentPageName(), "monitor");
  EXPECT_TRUE(w.session.isDirty()) << "the project is still there";
  w.session.discardEdits();
}

void drop(Window& w, const QUrl& url) {
  QMimeData data;
  data.setUrls({url});
  QDragEnterEvent enter({50, 50}, Qt::CopyAction, &data, Qt::LeftButton, Qt::NoModifier);
  QApplication::sendEvent(&w.window, &enter);
  EXPECT_TRUE(enter.isAccepted());
  QDropEvent event({50, 50}, Qt::CopyAction, &data, Qt::LeftButton, Qt::NoModifier);
  QApplication::sendEvent(&w.window, &event);
}

TEST(WindowFiles, ADroppedFileOpensAndABadOneSaysWhy) {
  Window w;
  drop(w, QUrl::fromLocalFile(w.write("dropped.yaml", kToy)));
  EXPECT_EQ(w.session.title(), "dropped");
  EXPECT_EQ(w.window.currentPageName(), "design");
  drop(w, QUrl::fromLocalFile("/no/such.yaml"));
  EXPECT_TRUE(w.window.banner()->message().contains("/no/such.yaml: there is no such file"))
      << ss(w.window.banner()->message());
  EXPECT_EQ(w.session.title(), "dropped");
}

TEST(WindowFiles, CtrlSSavesAndSaysWhyItCannot) {
  Window w;
  w.open(kToy);
  edit(w);
  QTest::keyClick(&w.window, Qt::Key_S, Qt::ControlModifier);
  EXPECT_FALSE(w.session.isDirty());
  EXPECT_TRUE(contents(w.session.filePath()).contains("num_steps: 77"));
  ASSERT_TRUE(w.session.document().setField("seed", "5"));
  ASSERT_TRUE(QDir(w.folder.path()).removeRecursively());
  QTest::keyClick(&w.window, Qt::Key_S, Qt::ControlModifier);
  EXPECT_TRUE(w.session.isDirty());
  EXPECT_TRUE(w.window.banner()->message().contains("project.yaml"))
      << ss(w.window.banner()->message());
  w.session.discardEdits();
}

}  // namespace
}  // namespace tera::gui
