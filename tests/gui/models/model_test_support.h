// What the tests of item models share: Qt's own tester, the text of a cell, records.
#pragma once
#include <QAbstractItemModelTester>
#include <QDateTime>
#include <QSignalSpy>

#include "tests/gui/gui_test_support.h"

namespace tera::gui::test {

using Tester = QAbstractItemModelTester;
inline constexpr auto kFatal = Tester::FailureReportingMode::Fatal;

inline QString text(const QAbstractItemModel& model, int row, int column) {
  return model.data(model.index(row, column)).toString();
}

// 100 tokens per step.
inline run::MetricRecord record(std::int64_t step, double loss, double time_s = 0) {
  run::MetricRecord made;
  made.step = step;
  made.time_s = time_s;
  made.values = {{"loss", loss}, {"tokens", 100.0 * static_cast<double>(step)}};
  return made;
}

}  // namespace tera::gui::test
