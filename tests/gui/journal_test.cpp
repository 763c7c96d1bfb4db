#include "gui/journal.h"

#include "tests/gui/gui_test_support.h"

namespace tera::gui {
namespace {

TEST(Journal, ATornLineIsPassedOver) {
  const QTemporaryDir folder;
  const QString path = folder.filePath("p.yaml");
  QFile journal(Journal::journalPath(path));
  ASSERT_TRUE(journal.open(QIODevice::WriteOnly));
  journal.write("{\"text\":\"name: good\\n\",\"time_s\":1}\n{\"text\":\"name: to");
  journal.close();
  Journal reader;
  EXPECT_EQ(reader.open(path).value_or(QString()), QString("name: good\n"));
}

TEST(Journal, TheNewestEditComesBack) {
  const QTemporaryDir folder;
  const QString path = folder.filePath("p.yaml");
  {
    Journal journal;
    EXPECT_FALSE(journal.open(path));
    journal.record("name: first\n");
    journal.record("name: second\n");
  }  // writes what is pending
  Journal journal;
  EXPECT_EQ(journal.open(path).value_or(QString()), "name: second\n");
}

TEST(Journal, AnEditIsOnDiskWithoutAnyEnd) {
  const QTemporaryDir folder;
  const QString path = folder.filePath("p.yaml");
  Journal journal;
  journal.open(path);
  journal.record("name: now\n");
  QFile file(Journal::journalPath(path));
  EXPECT_TRUE(test::waitFor([&] { return file.exists() && file.size() > 0; }));
}

TEST(Journal, WhatWasDiscardedDoesNotComeBack) {
  const QTemporaryDir folder;
  const QString path = folder.filePath("p.yaml");
  {
    Journal journal;
    journal.open(path);
    journal.record("name: gone\n");
    journal.close();  // on disk
    EXPECT_TRUE(QFile::exists(Journal::journalPath(path)));
    journal.open(path);
    journal.record("name: gone too\n");
    journal.discard();
  }
  Journal journal;
  EXPECT_FALSE(journal.open(path));
}

TEST(Journal, OnlyOneHoldsAProject) {
  const QTemporaryDir folder;
  const QString path = folder.filePath("p.yaml");
  Journal first, second;
  first.open(path);
  EXPECT_TRUE(first.lockedBy().isEmpty());
  second.open(path);
  EXPECT_TRUE(second.lockedBy().contains(QString::number(QCoreApplication::applicationPid())))
      << ss(second.lockedBy());
  second.record("name: other\n");
  second.close();
  EXPECT_FALSE(QFile::exists(Journal::journalPath(path))) << "the second writes nothing";
  first.close();
  second.open(path);
  EXPECT_TRUE(second.lockedBy().isEmpty()) << "free again";
}

// The rule of where a journal lies: beside the file, or where the user may write.
TEST(Journal, LiesBesideItsFileOrInTheUsersFolder) {
  const QTemporaryDir folder;
  EXPECT_EQ(Journal::journalPath(folder.filePath("p.yaml")), folder.filePath(".p.yaml.journal"));
  const QString untitled = Journal::journalPath({});
  EXPECT_TRUE(untitled.endsWith("/teragpt/journal/untitled.journal")) << ss(untitled);
}

}  // namespace
}  // namespace tera::gui
