#include "gui/session.h"

#include <QFile>
#include <QSignalSpy>

#include "tests/gui/test_window.h"

namespace tera::gui {
namespace {

using test::kToy;

// A session with settings and a project file of its own.
struct Desk {
  Desk() : settings(folder.filePath("s.ini")), session(settings) {}
  QString write(const QString& name, const QByteArray& text) const {
    QFile file(folder.filePath(name));
    EXPECT_TRUE(file.open(QIODevice::WriteOnly));
    file.write(text);
    return file.fileName();
  }
  QByteArray read(const QString& path) const {
    QFile file(path);
    EXPECT_TRUE(file.open(QIODevice::ReadOnly));
    return file.readAll();
  }
  bool estimated() {
    return test::waitFor([this] { return !session.estimateBusy(); });
  }
  QTemporaryDir folder;
  Settings settings;
  Session session;
};

TEST(Session, ACrashLosesNothing) {
  const QTemporaryDir folder;
  const QString path = folder.filePath("p.yaml");
  QFile file(path);
  ASSERT_TRUE(file.open(QIODevice::WriteOnly));
  file.write(kToy);
  file.close();
  Settings settings(folder.filePath("s.ini"));
  {
    Session session(settings);
    ASSERT_TRUE(session.openFile(path));
    ASSERT_TRUE(session.document().setField("training.num_steps", "77"));
    ASSERT_TRUE(test::waitFor([&] { return QFile::exists(Journal::journalPath(path)); }, 2000));
  }  // gone without saving
  Session session(settings);
  const QSignalSpy recovered(&session, &Session::recovered);
  ASSERT_TRUE(session.openFile(path));
  EXPECT_EQ(recovered.count(), 1);
  EXPECT_EQ(session.document().spec().training.num_steps, 77);
  EXPECT_TRUE(session.isDirty());
  session.document().undoStack()->undo();
  EXPECT_EQ(session.document().text(), QString(kToy));
  ASSERT_TRUE(
      test::waitFor([&] { return !QFile::exists(Journal::journalPath(path)); }));  // clean again
}

// The undo stack of a project with edits calls itself clean when it is taken down.
TEST(Session, TheEndOfASessionIsNotASave) {
  Desk desk;
  const QString path = desk.write("p.yaml", kToy);
  int changes = 0;
  {
    Session session(desk.settings);
    ASSERT_TRUE(session.openFile(path));
    ASSERT_TRUE(session.document().setField("training.num_steps", "77"));
    QObject::connect(&session, &Session::projectChanged, [&] { ++changes; });
  }
  EXPECT_EQ(changes, 0);
  Journal reader;
  EXPECT_TRUE(reader.open(path).value_or(QString()).contains("num_steps: 77"));
}

TEST(Session, TwoWindowsOnOneProjectSaySo) {
  const QTemporaryDir folder;
  Settings settings(folder.filePath("s.ini"));
  QFile file(folder.filePath("p.yaml"));
  ASSERT_TRUE(file.open(QIODevice::WriteOnly));
  file.write(kToy);
  file.close();
  Session first(settings), second(settings);
  const QSignalSpy notices(&second, &Session::notice);
  ASSERT_TRUE(first.openFile(file.fileName()));
  ASSERT_TRUE(second.openFile(file.fileName()));
  EXPECT_EQ(notices.count(), 1);
}

TEST(Session, SavesWhatTheTextSaysByteForByte) {
  Desk desk;
  const QByteArray text = "# mine\n" + QByteArray(kToy) + "training: {num_steps: 5}  # short\n";
  ASSERT_TRUE(desk.session.openFile(desk.write("p.yaml", text)));
  ASSERT_TRUE(desk.session.document().setField("training.num_steps", "77"));
  EXPECT_TRUE(desk.session.isDirty());
  ASSERT_TRUE(desk.session.save());
  EXPECT_FALSE(desk.session.isDirty());
  EXPECT_EQ(desk.read(desk.session.filePath()),
            QByteArray(text).replace("num_steps: 5", "num_steps: 77"));
}

TEST(Session, SaveAsMovesToTheNewFileAndKeepsTheOld) {
  Desk desk;
  const QString old = desk.write("p.yaml", kToy);
  ASSERT_TRUE(desk.session.openFile(old));
  ASSERT_TRUE(desk.session.document().setField("seed", "5"));
  const QSignalSpy changed(&desk.session, &Session::projectChanged);
  ASSERT_TRUE(desk.session.saveAs(desk.folder.filePath("q.yaml")));
  EXPECT_GT(changed.count(), 0);
  EXPECT_EQ(desk.session.title(), "q");
  EXPECT_EQ(desk.read(old), kToy);
  EXPECT_TRUE(desk.read(desk.folder.filePath("q.yaml")).contains("seed: 5"));
  EXPECT_EQ(desk.settings.recentFiles().front(), desk.folder.filePath("q.yaml"));
}

TEST(Session, ASaveThatFailsLeavesTheProjectDirtyAndWhereItWas) {
  Desk desk;
  const QString path = desk.write("p.yaml", kToy);
  ASSERT_TRUE(desk.session.openFile(path));
  ASSERT_TRUE(desk.session.document().setField("seed", "5"));
  const Result<void> saved = desk.session.saveAs("/no/such/folder/q.yaml");
  ASSERT_FALSE(saved);
  EXPECT_NE(saved.error().message.find("/no/such/folder"), std::string::npos)
      << saved.error().message;
  EXPECT_EQ(desk.session.filePath(), path);
  EXPECT_TRUE(desk.session.isDirty());
}

TEST(Session, AnUntitledProjectHasNoFileToSaveTo) {
  Desk desk;
  ASSERT_TRUE(desk.session.newFromTemplate("tiny-moe"));
  EXPECT_TRUE(desk.session.filePath().isEmpty());
  EXPECT_TRUE(desk.session.title().contains("not saved"));
  EXPECT_FALSE(desk.session.save());
}

TEST(Session, OpeningSaysWhatItGotAndWhatItWants) {
  Desk desk;
  const auto message = [&](const QString& path) {
    const Result<void> opened = desk.session.openFile(path);
    return opened ? QString("opened") : qs(opened.error().message + " | " + opened.error().hint);
  };
  EXPECT_TRUE(
      message("/no/such.yaml").startsWith("/no/such.yaml: there is no such file; expected"));
  EXPECT_TRUE(message(desk.folder.path()).contains("is not a file; expected a spec in YAML"));
  QFile large(desk.write("large.yaml", {}));
  ASSERT_TRUE(large.resize((1 << 20) + 1));
  EXPECT_TRUE(message(large.fileName()).contains("1048577 bytes; a spec has at most 1048576"))
      << ss(message(large.fileName()));
  EXPECT_FALSE(desk.session.hasProject());
}

TEST(Session, AFileThatCannotBeOpenedLeavesTheOldProjectOpen) {
  Desk desk;
  ASSERT_TRUE(desk.session.openFile(desk.write("p.yaml", kToy)));
  ASSERT_TRUE(desk.session.document().setField("seed", "5"));
  ASSERT_FALSE(desk.session.openFile("/no/such.yaml"));
  EXPECT_EQ(desk.session.title(), "p");
  EXPECT_EQ(desk.session.document().spec().seed, 5U);
  EXPECT_FALSE(desk.session.newFromTemplate("no-such-model"));
  EXPECT_EQ(desk.session.title(), "p");
}

TEST(Session, DiscardedEditsAreGoneFromTextAndJournal) {
  Desk desk;
  const QString path = desk.write("p.yaml", kToy);
  ASSERT_TRUE(desk.session.openFile(path));
  ASSERT_TRUE(desk.session.document().setField("seed", "5"));
  ASSERT_TRUE(test::waitFor([&] { return QFile::exists(Journal::journalPath(path)); }));
  desk.session.discardEdits();
  EXPECT_FALSE(desk.session.isDirty());
  EXPECT_EQ(desk.session.document().text(), QString(kToy));
  EXPECT_TRUE(test::waitFor([&] { return !QFile::exists(Journal::journalPath(path)); }));
}

TEST(Session, AnUntitledProjectOfACrashComesBack) {
  Desk desk;
  {
    Session crashed(desk.settings);
    ASSERT_TRUE(crashed.newFromTemplate("tiny-moe"));
    ASSERT_TRUE(crashed.document().setField("seed", "4711"));
    ASSERT_TRUE(test::waitFor([&] { return QFile::exists(Journal::journalPath({})); }));
  }
  ASSERT_TRUE(desk.session.restoreUntitled());
  EXPECT_EQ(desk.session.document().spec().seed, 4711U);
  EXPECT_TRUE(desk.session.isDirty());
  desk.session.discardEdits();
  desk.session.close();
  EXPECT_FALSE(Session(desk.settings).restoreUntitled()) << "once";
}

TEST(Session, TheEstimateFollowsTheSpecAndItsBaselineStays) {
  Desk desk;
  ASSERT_TRUE(desk.session.openFile(desk.write("p.yaml", kToy)));
  ASSERT_TRUE(desk.estimated());
  const plan::Estimate* first = desk.session.estimate();
  ASSERT_NE(first, nullptr);
  EXPECT_EQ(desk.session.baseline(), first) << "the first estimate of a project is its baseline";
  const double before = first->worst_bytes;
  ASSERT_TRUE(desk.session.document().setField("model.num_experts", "64"));
  ASSERT_TRUE(desk.estimated());
  EXPECT_GT(desk.session.estimate()->worst_bytes, before);
  EXPECT_EQ(desk.session.baseline()->worst_bytes, before);
  desk.session.pinBaseline();
  EXPECT_EQ(desk.session.baseline(), desk.session.estimate());
}

TEST(Session, AnInvalidSpecHasAProblemInsteadOfNumbers) {
  Desk desk;
  ASSERT_TRUE(desk.session.openFile(desk.write("p.yaml", kToy)));
  ASSERT_TRUE(desk.session.document().setField("model.router_top_k", "60"));
  ASSERT_TRUE(desk.estimated());
  EXPECT_EQ(desk.session.estimate(), nullptr);
  EXPECT_TRUE(desk.session.estimateProblem().contains("router_top_k"))
      << ss(desk.session.estimateProblem());
  desk.session.document().undoStack()->undo();
  ASSERT_TRUE(desk.estimated());
  EXPECT_NE(desk.session.estimate(), nullptr);
  EXPECT_TRUE(desk.session.estimateProblem().isEmpty());
}

TEST(Session, DataPathsAreOfTheProjectsFolder) {
  Desk desk;
  ASSERT_TRUE(desk.session.openFile(
      desk.write("p.yaml", QByteArray(kToy) + "data:\n  tokenizer: ../words.json\n  datasets:\n"
                                              "    - path: tokens/train\n    - path: /abs/x\n")));
  const spec::RunSpec spec = desk.session.resolvedSpec();
  EXPECT_EQ(spec.data.datasets[0].path, ss(desk.folder.filePath("tokens/train")));
  EXPECT_EQ(spec.data.datasets[1].path, "/abs/x");
  EXPECT_EQ(spec.data.tokenizer, ss(QDir::cleanPath(desk.folder.path() + "/../words.json")));
  EXPECT_EQ(desk.session.document().spec().data.datasets[0].path, "tokens/train");
}

TEST(Session, ALookLeavesNothingBehind) {
  Desk desk;
  const QString path = desk.write("p.yaml", kToy);
  desk.session.setOnlyLooking();
  ASSERT_TRUE(desk.session.openFile(path));
  ASSERT_TRUE(desk.session.document().setField("seed", "5"));
  EXPECT_TRUE(desk.settings.recentFiles().isEmpty());
  EXPECT_EQ(QDir(desk.folder.path()).entryList(QDir::Files | QDir::Hidden), QStringList{"p.yaml"});
}

TEST(Session, ClosingLeavesNoProjectAndNoNumbers) {
  Desk desk;
  ASSERT_TRUE(desk.session.openFile(desk.write("p.yaml", kToy)));
  ASSERT_TRUE(desk.estimated());
  const QSignalSpy estimates(&desk.session, &Session::estimateChanged);
  desk.session.close();
  EXPECT_FALSE(desk.session.hasProject());
  EXPECT_EQ(desk.session.estimate(), nullptr);
  EXPECT_EQ(desk.session.title(), "");
  EXPECT_EQ(estimates.count(), 1);
}

}  // namespace
}  // namespace tera::gui
