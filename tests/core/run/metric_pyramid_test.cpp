#include "core/run/metric_pyramid.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <random>

#include <gtest/gtest.h>

#include "core/base/error.h"

namespace tera::run {
namespace {

constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
constexpr double kInf = std::numeric_limits<double>::infinity();

// Equal, where NaN equals NaN.
bool same(double a, double b) {
  return a == b || (std::isnan(a) && std::isnan(b));
}

// The definition: look at every sample.
std::vector<PyramidColumn> brute_force(const MetricPyramid& series,
                                       double x_begin,
                                       double x_end,
                                       int num_columns) {
  std::vector<PyramidColumn> columns(static_cast<std::size_t>(num_columns));
  for (int c = 0; c < num_columns; ++c) {
    const double low = MetricPyramid::column_edge(x_begin, x_end, num_columns, c);
    const double high = MetricPyramid::column_edge(x_begin, x_end, num_columns, c + 1);
    PyramidColumn& column = columns[static_cast<std::size_t>(c)];
    for (std::int64_t i = 0; i < series.size(); ++i) {
      const double x = series.x(i);
      const double y = series.y(i);
      if (x < low || x >= high) continue;
      if (column.count++ == 0) {
        column.first = y;
        column.x_first = column.x_min = column.x_max = x;
        column.min = column.max = kNaN;
      }
      column.last = y;
      column.x_last = x;
      if (std::isnan(y)) continue;
      if (std::isnan(column.min) || y < column.min) {
        column.min = y;
        column.x_min = x;
      }
      if (std::isnan(column.max) || y > column.max) {
        column.max = y;
        column.x_max = x;
      }
    }
  }
  return columns;
}

void expect_columns(const MetricPyramid& series, double x_begin, double x_end, int num_columns) {
  const std::vector<PyramidColumn> got = series.query(x_begin, x_end, num_columns);
  const std::vector<PyramidColumn> expected = brute_force(series, x_begin, x_end, num_columns);
  ASSERT_EQ(got.size(), expected.size());
  for (std::size_t c = 0; c < got.size(); ++c) {
    const PyramidColumn& a = got[c];
    const PyramidColumn& b = expected[c];
    ASSERT_EQ(a.count, b.count) << "column " << c;
    ASSERT_TRUE(same(a.first, b.first) && same(a.min, b.min) && same(a.max, b.max) &&
                same(a.last, b.last) && a.x_first == b.x_first && a.x_min == b.x_min &&
                a.x_max == b.x_max && a.x_last == b.x_last)
        << "column " << c << " of [" << x_begin << ", " << x_end << "): min " << a.min << " at "
        << a.x_min << ", expected " << b.min << " at " << b.x_min << "; max " << a.max << " at "
        << a.x_max << ", expected " << b.max << " at " << b.x_max;
  }
}

TEST(MetricPyramid, ColumnsEqualBruteForce) {
  std::mt19937 random(11);
  const auto uniform = [&](double low, double high) {
    return std::uniform_real_distribution<double>(low, high)(random);
  };
  for (int round = 0; round < 60; ++round) {
    MetricPyramid series;
    const int size = static_cast<int>(random() % 1500);
    double x = uniform(-5, 5);
    for (int i = 0; i < size; ++i) {
      // Gaps, infinities, equal x and equal y are all part of a real series.
      const auto kind = random() % 20;
      series.append(x, kind == 0 ? kNaN : (kind == 1 ? kInf : std::floor(uniform(-9, 9))));
      if (random() % 4 != 0) x += uniform(0, 2);
    }
    for (int query = 0; query < 8; ++query) {
      const double begin = uniform(-10, x);
      expect_columns(series, begin, begin + uniform(0.001, x + 10),
                     1 + static_cast<int>(random() % 80));
    }
  }
}

TEST(MetricPyramid, TruncationEqualsASeriesThatNeverHadTheRest) {
  std::mt19937 random(12);
  for (int round = 0; round < 200; ++round) {
    MetricPyramid cut;
    MetricPyramid fresh;
    const int size = 1 + static_cast<int>(random() % 700);
    const int kept = static_cast<int>(random() % static_cast<unsigned>(size + 1));
    for (int i = 0; i < size; ++i) {
      const double y = static_cast<double>(random() % 1000);
      cut.append(i, y);
      if (i < kept) fresh.append(i, y);
    }
    cut.truncate_from(kept);
    ASSERT_EQ(cut.size(), kept);
    // A resumed run goes on from there.
    for (int i = kept; i < kept + 100; ++i) {
      const double y = static_cast<double>(random() % 1000) - 500;
      cut.append(i, y);
      fresh.append(i, y);
    }
    for (const int columns : {1, 7, 64}) {
      const auto a = cut.query(0, kept + 100, columns);
      const auto b = fresh.query(0, kept + 100, columns);
      for (std::size_t c = 0; c < a.size(); ++c) {
        ASSERT_TRUE(same(a[c].min, b[c].min) && same(a[c].max, b[c].max) &&
                    a[c].count == b[c].count)
            << size << " cut to " << kept;
      }
    }
    expect_columns(cut, -1, kept + 101, 13);
  }
}

// Whatever part of a long series is shown, at whatever width: a spike of one sample is seen.
TEST(MetricPyramid, EveryOneSampleSpikeIsSeenAtEveryZoom) {
  MetricPyramid series;
  std::vector<std::int64_t> spikes;
  std::mt19937 random(13);
  constexpr std::int64_t kSize = 200000;
  for (std::int64_t i = 0; i < kSize; ++i) {
    const bool spike = random() % 4000 == 0;
    if (spike) spikes.push_back(i);
    series.append(static_cast<double>(i), spike ? 1000 : std::sin(static_cast<double>(i)));
  }
  ASSERT_GT(spikes.size(), 20U);
  for (const std::int64_t spike : spikes) {
    for (double width = 10; width <= 2 * kSize; width *= 3.7) {
      const double begin = static_cast<double>(spike) - width * 0.371;
      for (const int columns : {1, 333, 1600}) {
        const auto shown = series.query(begin, begin + width, columns);
        const bool seen = std::any_of(shown.begin(), shown.end(), [&](const PyramidColumn& column) {
          return column.count > 0 && column.max == 1000;
        });
        ASSERT_TRUE(seen) << "spike at " << spike << ", window " << width << ", " << columns;
      }
    }
  }
}

TEST(MetricPyramid, EmptyAndOddQueries) {
  MetricPyramid series;
  EXPECT_EQ(series.query(0, 1, 3).size(), 3U);
  EXPECT_EQ(series.query(0, 1, 3).front().count, 0);
  series.append(1, 5);
  EXPECT_TRUE(series.query(0, 1, 0).empty());
  EXPECT_TRUE(series.query(1, 1, 4).empty());
  EXPECT_TRUE(series.query(2, 1, 4).empty());
  EXPECT_TRUE(series.query(kNaN, 1, 4).empty());
  EXPECT_EQ(series.query(0, 1, 1).front().count, 0) << "the end is not part of the window";
  EXPECT_EQ(series.query(1, 2, 1).front().count, 1) << "the begin is";
  series.truncate_from(-kInf);
  EXPECT_EQ(series.size(), 0);
  series.append(-3, 1);
  series.clear();
  series.append(-7, 2);
  EXPECT_EQ(series.query(-8, 0, 1).front().max, 2);
}

TEST(MetricPyramid, RefusesXThatFalls) {
  MetricPyramid series;
  series.append(2, 0);
  series.append(2, 1);
  EXPECT_THROW(series.append(1, 0), ContractError);
  EXPECT_THROW(series.append(kNaN, 0), ContractError);
  EXPECT_EQ(series.size(), 2);
}

TEST(MetricPyramid, AScreenOfAMillionSamplesTakesMicroseconds) {
  MetricPyramid series;
  for (int i = 0; i < 1000000; ++i)
    series.append(i, i % 977);
  const auto start = std::chrono::steady_clock::now();
  std::int64_t total = 0;
  for (const PyramidColumn& column : series.query(0, 1000000, 1600))
    total += column.count;
  const double seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  EXPECT_EQ(total, 1000000);
  // About 0.3 ms; looking at every sample takes 10 times the limit. Loose, for a crowded machine.
  EXPECT_LT(seconds, 0.05);
}

TEST(Smoother, EqualsItsDefinitionAndSkipsWhatIsNotFinite) {
  constexpr double kBeta = 0.9;
  Smoother smoother(kBeta);
  EXPECT_TRUE(std::isnan(smoother.append(kNaN)));
  std::vector<double> values;
  std::mt19937 random(14);
  for (int i = 0; i < 50; ++i) {
    const double y = static_cast<double>(random() % 100);
    values.push_back(y);
    double sum = 0;
    double weight = 0;
    for (std::size_t k = 0; k < values.size(); ++k) {
      const double w = std::pow(kBeta, static_cast<double>(values.size() - 1 - k));
      sum += w * values[k];
      weight += w;
    }
    const double smoothed = smoother.append(y);
    EXPECT_NEAR(smoothed, sum / weight, 1e-12 * 100);
    EXPECT_EQ(smoother.append(kNaN), smoothed);
    EXPECT_EQ(smoother.append(-kInf), smoothed);
  }
  smoother.clear();
  EXPECT_EQ(smoother.append(7), 7) << "no bias towards zero at the start";
}

}  // namespace
}  // namespace tera::run
