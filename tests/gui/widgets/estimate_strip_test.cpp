#include "gui/widgets/estimate_strip.h"

#include <QSignalSpy>

#include "tests/gui/gui_test_support.h"

namespace tera::gui {
namespace {

TEST(EstimateStrip, TilesSayWhatChanged) {
  spec::RunSpec spec = test::specOf("tiny-moe", "a");
  const plan::Estimate before = plan::estimate(spec).value();
  for (const EstimateTile& tile : estimateTiles(before, &before, spec))
    EXPECT_TRUE(tile.delta.isEmpty()) << tile.caption.toStdString();
  spec.model.num_experts *= 2;
  const plan::Estimate after = plan::estimate(spec).value();
  const auto tiles = estimateTiles(after, &before, spec);
  EXPECT_TRUE(tiles[0].delta.startsWith("+"));
  EXPECT_EQ(tiles[0].trend, EstimateTile::Neutral);
  EXPECT_EQ(tiles[1].caption, "Memory");
  EXPECT_TRUE(tiles[1].delta.startsWith("+"));
  EXPECT_EQ(tiles[1].trend, EstimateTile::Worse);
  EXPECT_EQ(tiles.back().value, "free");
}

TEST(EstimateStrip, OverCapacityIsAProblem) {
  spec::RunSpec spec = test::specOf("moe-1t", "a");
  const plan::Estimate estimate = plan::estimate(spec).value();
  ASSERT_FALSE(estimate.fits);
  const auto tiles = estimateTiles(estimate, nullptr, spec);
  EXPECT_TRUE(tiles[1].isProblem);
  EXPECT_TRUE(tiles[1].note.startsWith("■"));
}

TEST(EstimateStrip, BetterAndWorseDependOnTheNumber) {
  const spec::RunSpec spec = test::specOf("mixtral-8x7b", "a");
  const plan::Estimate now = plan::estimate(spec).value();
  plan::Estimate before = now;
  before.worst_bytes *= 2;
  before.tokens_per_s *= 2;
  before.step_s /= 2;
  const auto tiles = estimateTiles(now, &before, spec);
  const auto find = [&](const char* caption) {
    for (const EstimateTile& tile : tiles)
      if (tile.caption.startsWith(caption)) return tile;
    return EstimateTile();
  };
  EXPECT_EQ(find("Memory").trend, EstimateTile::Better);
  EXPECT_TRUE(find("Memory").delta.startsWith("−"));
  EXPECT_EQ(find("Step").trend, EstimateTile::Worse);
  EXPECT_TRUE(find("Step").delta.startsWith("+"));
  EXPECT_EQ(find("Throughput").trend, EstimateTile::Worse);
  EXPECT_TRUE(find("Throughput").delta.startsWith("−"));
}

TEST(EstimateStrip, NoiseIsNoChange) {
  const spec::RunSpec spec = test::specOf("tiny-moe", "a");
  const plan::Estimate now = plan::estimate(spec).value();
  plan::Estimate before = now;
  before.worst_bytes *= 1.0005;
  EXPECT_TRUE(estimateTiles(now, &before, spec)[1].delta.isEmpty());
  before.worst_bytes *= 1.01;
  EXPECT_FALSE(estimateTiles(now, &before, spec)[1].delta.isEmpty());
}

// The band of a step is in one unit, short enough for a tile.
TEST(EstimateStrip, TheBandOfAStepHasOneUnit) {
  const spec::RunSpec spec = test::specOf("tiny-moe", "a");
  plan::Estimate estimate = plan::estimate(spec).value();
  for (const auto& [low, high, words] :
       {std::tuple{0.0012, 0.0034, "1.2 to 3.4 ms"}, std::tuple{0.8, 1.25, "0.8 to 1.25 s"},
        std::tuple{21'000.0, 31'440.0, "5.83 to 8.73 h"},
        std::tuple{86'400.0, 864'000.0, "1 to 10 d"}}) {
    estimate.low_s = low;
    estimate.high_s = high;
    EXPECT_EQ(estimateTiles(estimate, nullptr, spec)[2].note, words);
  }
}

TEST(EstimateStrip, UnknownTilesAreTheSameTilesWithoutNumbers) {
  const spec::RunSpec spec = test::specOf("tiny-moe", "a");
  const auto known = estimateTiles(plan::estimate(spec).value(), nullptr, spec);
  const auto unknown = unknownTiles();
  ASSERT_EQ(unknown.size(), known.size());
  for (const EstimateTile& tile : unknown) {
    EXPECT_EQ(tile.value, "n/a");
    EXPECT_FALSE(tile.isProblem);
    EXPECT_TRUE(tile.delta.isEmpty());
  }
}

TEST(EstimateStrip, ATileSaysAllItShowsAndAsksForItsTerm) {
  EstimateStrip strip;
  strip.show();
  strip.setTiles({{.caption = "Memory",
                   .value = "54 GiB",
                   .note = "✓ of 80 GiB",
                   .delta = "−3 GiB",
                   .trend = EstimateTile::Better,
                   .term = "memory"}});
  ASSERT_EQ(strip.tiles().size(), 1U);
  EstimateTileButton* tile = strip.tiles()[0];
  EXPECT_EQ(tile->accessibleName(), "Memory");
  EXPECT_EQ(tile->accessibleDescription(), "54 GiB, ✓ of 80 GiB, −3 GiB against the baseline");
  strip.setStale(true);
  EXPECT_TRUE(tile->accessibleDescription().endsWith("of the last spec without errors"));
  const QSignalSpy asked(&strip, &EstimateStrip::termRequested);
  tile->setFocus();
  QTest::keyClick(tile, Qt::Key_Space);
  QTest::mouseClick(tile, Qt::LeftButton);
  ASSERT_EQ(asked.count(), 2);
  EXPECT_EQ(asked.at(0).at(0).toString(), "memory");
}

TEST(EstimateStrip, TilesAreReusedSoThatFocusStays) {
  EstimateStrip strip;
  strip.setTiles(unknownTiles());
  strip.resize(900, 70);
  strip.show();
  ASSERT_TRUE(QTest::qWaitForWindowActive(&strip));
  EstimateTileButton* third = strip.tiles()[2];
  third->setFocus();
  const spec::RunSpec spec = test::specOf("tiny-moe", "a");
  strip.setTiles(estimateTiles(plan::estimate(spec).value(), nullptr, spec));
  EXPECT_EQ(strip.tiles()[2], third);
  EXPECT_TRUE(third->hasFocus());
  EXPECT_NE(third->tile().value, "n/a");
}

}  // namespace
}  // namespace tera::gui
