// A stand-in for the command line: a shell script that the workbench starts like teragpt.
#pragma once
#include <QFile>
#include <QTemporaryDir>
#include <gtest/gtest.h>

namespace tera::gui::test {

inline QString fakeTeragpt(const QTemporaryDir& folder, const QString& body) {
  QFile file(folder.filePath("teragpt"));
  EXPECT_TRUE(file.open(QIODevice::WriteOnly));
  file.write("#!/bin/sh\n" + body.toUtf8());
  file.close();
  file.setPermissions(file.permissions() | QFileDevice::ExeOwner | QFileDevice::ExeUser);
  return file.fileName();
}

}  // namespace tera::gui::test
