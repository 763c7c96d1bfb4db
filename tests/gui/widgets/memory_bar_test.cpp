#include "gui/widgets/memory_bar.h"

#include <QSignalSpy>

#include "gui/theme.h"
#include "tests/gui/gui_test_support.h"

namespace tera::gui {
namespace {

plan::Estimate estimateOf(int stages, double bytes, double capacity) {
  plan::Estimate estimate;
  estimate.capacity_bytes = capacity;
  for (int i = 0; i < stages; ++i) {
    plan::StageMemory stage;
    stage.stage = i;
    std::vector<plan::Term> parts;
    for (const auto& [label, share] : {std::pair{"weights", 0.5}, std::pair{"activations", 0.5}}) {
      parts.push_back({.label = label,
                       .value = bytes * share,
                       .unit = "B",
                       .formula = "",
                       .source = "",
                       .children = {}});
    }
    stage.memory = plan::sum_term("memory", "B", std::move(parts));
    estimate.stages.push_back(stage);
  }
  estimate.worst_bytes = bytes;
  estimate.fits = bytes <= capacity;
  return estimate;
}

constexpr double kGiB = 1024.0 * 1024 * 1024;

struct Bar {
  explicit Bar(const plan::Estimate* estimate) {
    bar.resize(500, 200);
    bar.setEstimate(estimate);
    bar.show();
    EXPECT_TRUE(QTest::qWaitForWindowExposed(&bar));
    image = bar.grab().toImage();
  }
  // Columns in which a colour stands.
  std::vector<int> columnsOf(const QColor& color) const {
    std::vector<int> columns;
    for (int x = 0; x < image.width(); ++x) {
      for (int y = 0; y < image.height(); ++y) {
        if (image.pixelColor(x, y).rgb() != color.rgb()) continue;
        columns.push_back(x);
        break;
      }
    }
    return columns;
  }
  MemoryBar bar;
  QImage image;
};

TEST(MemoryBar, SaysCapacityAndEveryStage) {
  const plan::Estimate estimate = estimateOf(3, 40 * kGiB, 80 * kGiB);
  const Bar shown(&estimate);
  const QString words = shown.bar.accessibleDescription();
  EXPECT_TRUE(words.startsWith("Capacity 80.0 GiB. stage 0: 40.0 GiB")) << ss(words);
  EXPECT_TRUE(words.contains("stage 2")) << ss(words);
}

TEST(MemoryBar, ABarIsAsLongAsItsShareOfTheScale) {
  const plan::Estimate half = estimateOf(1, 40 * kGiB, 80 * kGiB);
  const plan::Estimate quarter = estimateOf(1, 20 * kGiB, 80 * kGiB);
  const auto length = [](const plan::Estimate& estimate) {
    MemoryBar bar;
    bar.resize(500, 200);
    bar.setEstimate(&estimate);
    const QImage image = bar.grab(QRect(0, 0, 500, 70)).toImage();  // above the bar of the parts
    int weights = 0;
    for (int x = 0; x < image.width(); ++x)
      weights += image.pixelColor(x, static_cast<int>(53 * image.devicePixelRatio())).rgb() ==
                 theme().memory.value("weights").rgb();
    return weights;
  };
  const double ratio = double(length(half)) / length(quarter);
  EXPECT_NEAR(ratio, 2, 0.05);
}

// Over capacity the line stands at the left; its words stand on the side that has room.
TEST(MemoryBar, TheWordsOfTheCapacityAreNeverCut) {
  for (const double bytes : {1.0, 79.0, 81.0, 160.0, 15'000.0}) {
    const plan::Estimate estimate = estimateOf(1, bytes * kGiB, 80 * kGiB);
    const Bar shown(&estimate);
    const QImage top = shown.image.copy(0, 0, shown.image.width(), 13);  // above the lines
    const QRgb ground = top.pixel(top.width() - 1, 0);
    int first = top.width(), last = -1;
    for (int x = 50; x < top.width(); ++x) {  // right of the unit
      for (int y = 0; y < top.height(); ++y) {
        if (top.pixel(x, y) == ground) continue;
        first = std::min(first, x);
        last = x;
      }
    }
    const int width = shown.bar.fontMetrics().horizontalAdvance("80.0 GiB for the model");
    EXPECT_GT(last - first, width * 0.75) << bytes << " GiB: all of the words are there";
  }
}

TEST(MemoryBar, AnUnknownEstimateIsNoZero) {
  const Bar shown(nullptr);
  EXPECT_TRUE(shown.columnsOf(theme().memory.value("weights")).empty());
  const plan::Estimate estimate = estimateOf(1, kGiB, 80 * kGiB);
  const Bar known(&estimate);
  EXPECT_FALSE(known.columnsOf(theme().memory.value("weights")).empty());
}

TEST(MemoryBar, AClickNamesTheStage) {
  const plan::Estimate estimate = estimateOf(8, 40 * kGiB, 80 * kGiB);
  Bar shown(&estimate);
  const QSignalSpy clicked(&shown.bar, &MemoryBar::stageClicked);
  QTest::mouseClick(&shown.bar, Qt::LeftButton, {}, {70, 150});
  QTest::mouseClick(&shown.bar, Qt::LeftButton, {}, {2, 2});  // beside all bars
  ASSERT_EQ(clicked.count(), 1);
  EXPECT_EQ(clicked.at(0).at(0).toInt(), 0);
}

}  // namespace
}  // namespace tera::gui
