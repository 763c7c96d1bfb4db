#include "gui/pages/monitor_header.h"

#include <QComboBox>
#include <QPushButton>
#include <QSignalSpy>

#include "tests/gui/find_widget.h"
#include "tests/gui/gui_test_support.h"

namespace tera::gui {
namespace {

QPushButton& stopOf(const MonitorHeader& header) {
  return *header.findChild<QPushButton*>();
}

TEST(MonitorHeader, ReadingSaysSoAndOffersNothing) {
  MonitorHeader header;
  header.showReading("20260101-000000-aaaaaaaa");
  EXPECT_EQ(header.stateText(), "reading…");
  EXPECT_EQ(header.factsText(), "");
  EXPECT_FALSE(stopOf(header).isEnabled());
}

TEST(MonitorHeader, ALivingRunCanBeStopped) {
  MonitorHeader header;
  const QSignalSpy asked(&header, &MonitorHeader::stopRequested);
  header.showStatus(test::livingStatus(), 1103, 10);
  EXPECT_EQ(header.stateText(), "● running");
  EXPECT_TRUE(header.factsText().contains("step 50 of 200"));
  ASSERT_TRUE(stopOf(header).isEnabled());
  stopOf(header).click();
  EXPECT_EQ(asked.count(), 1);
}

TEST(MonitorHeader, SilenceIsSaidInWordsFromTheLimitOn) {
  MonitorHeader header;
  header.showStatus(test::livingStatus(), 1110, 10);
  EXPECT_EQ(header.stateText(), "● running") << "ten seconds are not silence yet";
  header.showStatus(test::livingStatus(), 1134.9, 10);
  EXPECT_EQ(header.stateText(), "▲ no record for 34 s");
  EXPECT_TRUE(stopOf(header).isEnabled());
  run::RunStatus fresh = test::livingStatus();
  fresh.last_record_s = 0;
  fresh.state = run::RunState::starting;
  header.showStatus(fresh, 1134, 10);
  EXPECT_EQ(header.stateText(), "◔ starting") << "no record yet is no silence";
}

TEST(MonitorHeader, StoppingLastsUntilTheRunHasEnded) {
  MonitorHeader header;
  header.showStatus(test::livingStatus(), 1103, 10);
  header.setStopping(true);
  EXPECT_EQ(header.stateText(), "▲ stopping");
  EXPECT_FALSE(stopOf(header).isEnabled()) << "once is enough";
  header.showStatus(test::livingStatus(), 1104, 10);
  EXPECT_EQ(header.stateText(), "▲ stopping");
  run::RunStatus ended = test::livingStatus();
  ended.alive = false;
  ended.state = run::RunState::stopped;
  header.showStatus(ended, 1105, 10);
  EXPECT_EQ(header.stateText(), "▲ stopped");
  EXPECT_FALSE(header.isStopping());
  EXPECT_FALSE(stopOf(header).isEnabled());
}

TEST(MonitorHeader, ChoicesAreSignalsWithTheirValues) {
  MonitorHeader header;
  std::vector<double> betas;
  std::vector<XAxis> axes;
  QObject::connect(&header, &MonitorHeader::smoothingChosen, &header,
                   [&](double beta) { betas.push_back(beta); });
  QObject::connect(&header, &MonitorHeader::axisChosen, &header,
                   [&](XAxis axis) { axes.push_back(axis); });
  for (int i = 0; i < 4; ++i)
    header.cycleSmoothing();
  EXPECT_EQ(betas, (std::vector<double>{0.99, 0.9, 0, 0.95}));
  test::called<QComboBox>(header, "Horizontal axis")->setCurrentIndex(2);
  EXPECT_EQ(axes, std::vector<XAxis>{XAxis::Hours});
}

TEST(MonitorHeader, AnUnreadableRunHasNoStop) {
  MonitorHeader header;
  header.showStatus(test::livingStatus(), 1103, 10);
  header.showUnreadable();
  EXPECT_EQ(header.stateText(), "■ cannot be read");
  EXPECT_FALSE(stopOf(header).isEnabled());
}

}  // namespace
}  // namespace tera::gui
