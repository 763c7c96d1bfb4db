#include "core/plan/calibration.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "tests/core/plan/published_rows.h"

namespace tera::plan {
namespace {

bool go_on(double) {
  return true;
}

std::size_t place_of(std::string_view name) {
  const auto& values = fitted_values();
  const auto found = std::find_if(values.begin(), values.end(),
                                  [name](const FittedValue& v) { return v.name == name; });
  EXPECT_NE(found, values.end()) << name;
  return static_cast<std::size_t>(found - values.begin());
}
const std::size_t kProducts = place_of("16-bit products, A100");

// Large layers on A100, as a machine would measure that has what is expected, but for its products.
PublishedPresets machine(double products) {
  Values truth = expected_values();
  truth[kProducts] = products;
  return with_values(published_presets(), truth);
}
std::vector<PublishedRow> measured_rows(double products) {
  std::vector<PublishedRow> rows;
  for (const char* group : {"one", "two", "three"}) {
    for (const char* hidden : {"4096", "6144", "8192"}) {
      PublishedRow row = row_with({{"id", std::string(group) + hidden},
                                   {"group", group},
                                   {"hidden", hidden},
                                   {"ffn_hidden", "16384"},
                                   {"heads", "32"},
                                   {"kv_heads", "32"},
                                   {"head_dim", "128"}});
      row.step_s = predict_row(row, machine(products)).step_s;
      rows.push_back(row);
    }
  }
  return rows;
}

TEST(Calibration, FindsTheSpeedOfTheMachineThatMeasured) {
  const std::vector<PublishedRow> rows = measured_rows(0.7);
  const Calibration calibration = calibrate(rows, published_presets(), go_on);
  EXPECT_EQ(calibration.num_rows, 9);
  EXPECT_NEAR(calibration.values[kProducts] / 0.7, 1, 0.03);
  const std::size_t hopper = place_of("16-bit products, H100 and H200");
  EXPECT_NEAR(calibration.values[hopper], expected_values()[hopper], 1e-6);
  // Rows of a group that was left out are predicted as well as the others.
  for (const PublishedRow& row : rows) {
    const PublishedPresets others =
        with_values(published_presets(), calibration.for_group(row.group));
    EXPECT_NEAR(predict_row(row, others).error, 0, 0.02) << row.id;
    EXPECT_LT(predict_row(row, machine(0.869)).error, -0.05) << row.id;
  }
}

TEST(Calibration, AGroupDoesNotTeachItself) {
  std::vector<PublishedRow> rows = measured_rows(0.8);
  for (PublishedRow& row : rows)
    if (row.group == "two") row.step_s = 2 * *row.step_s;
  const Calibration calibration = calibrate(rows, published_presets(), go_on);
  EXPECT_NEAR(calibration.for_group("two")[kProducts] / 0.8, 1, 0.03);
  EXPECT_EQ(&calibration.for_group("unheard of"), &calibration.values);
}

TEST(Calibration, WithoutItsOnlyGroupWhatIsExpectedIsLeft) {
  std::vector<PublishedRow> rows = measured_rows(0.7);
  std::erase_if(rows, [](const PublishedRow& row) { return row.group != "one"; });
  const Calibration calibration = calibrate(rows, published_presets(), go_on);
  EXPECT_NEAR(calibration.values[kProducts] / 0.7, 1, 0.1);
  for (std::size_t i = 0; i < expected_values().size(); ++i) {
    EXPECT_NEAR(calibration.for_group("one")[i], expected_values()[i], 1e-9)
        << fitted_values()[i].name;
  }
}

// The values in use, whatever they are, neither start the fit nor hold it.
TEST(Calibration, DoesNotDependOnTheValuesInUse) {
  const std::vector<PublishedRow> rows = measured_rows(0.7);
  Values others = expected_values();
  for (double& value : others)
    value *= 0.9;
  const Values one = calibrate(rows, published_presets(), go_on).values;
  const Values two = calibrate(rows, with_values(published_presets(), others), go_on).values;
  for (std::size_t i = 0; i < one.size(); ++i)
    EXPECT_NEAR(two[i] / one[i], 1, 1e-6) << fitted_values()[i].name;
}

TEST(Calibration, ValuesStayWithinTheirBounds) {
  const Calibration calibration = calibrate(measured_rows(0.1), published_presets(), go_on);
  for (std::size_t i = 0; i < calibration.values.size(); ++i) {
    EXPECT_GE(calibration.values[i], fitted_values()[i].low * (1 - 1e-12));
    EXPECT_LE(calibration.values[i], fitted_values()[i].high * (1 + 1e-12));
  }
}

// Memory slower than its bound: what it may not take, others do, and the errors have both signs.
TEST(Calibration, OthersTakeOverWhatAValueAtItsBoundMayNot) {
  const std::size_t memory = place_of("memory");
  Values truth = expected_values();
  truth[memory] = fitted_values()[memory].low / 4;
  const PublishedPresets slow = with_values(published_presets(), truth);
  std::vector<PublishedRow> rows = measured_rows(0.869);
  for (PublishedRow& row : rows)
    row.step_s = predict_row(row, slow).step_s;
  const Calibration calibration = calibrate(rows, published_presets(), go_on);
  EXPECT_NEAR(calibration.values[memory] / fitted_values()[memory].low, 1, 1e-9);
  const PublishedPresets fitted = with_values(published_presets(), calibration.values);
  double bias = 0;
  for (const PublishedRow& row : rows)
    bias += predict_row(row, fitted).error / static_cast<double>(rows.size());
  EXPECT_NEAR(bias, 0, 0.005);
}

TEST(Calibration, WhatIsExpectedHasASourceAndLiesWithinItsBounds) {
  for (const FittedValue& value : fitted_values()) {
    EXPECT_GT(value.source.size(), 20U) << value.name;
    EXPECT_GT(value.expected, value.low) << value.name;
    EXPECT_LT(value.expected, value.high) << value.name;
  }
}

// Rows that ask for links of half the speed move what was measured by itself less than the rest.
TEST(Calibration, WhatWasMeasuredByItselfIsHeldMoreFirmly) {
  const auto& values = fitted_values();
  const double products = values[kProducts].spread;
  for (const char* links : {"links in a node", "links between nodes"})
    EXPECT_LT(values[place_of(links)].spread, products / 2) << links;
  std::vector<PublishedRow> rows;
  for (const char* hidden : {"1024", "2048"}) {
    PublishedRow row = row_with({{"id", hidden},
                                 {"group", std::string("of ") + hidden},
                                 {"hidden", hidden},
                                 {"TP", "8"},
                                 {"PP", "1"},
                                 {"DP", "1"},
                                 {"heads", "16"},
                                 {"kv_heads", "16"}});
    Values truth = expected_values();
    truth[place_of("links in a node")] /= 2;
    row.step_s = predict_row(row, with_values(published_presets(), truth)).step_s;
    rows.push_back(row);
  }
  const Values found = calibrate(rows, published_presets(), go_on).values;
  const double links =
      found[place_of("links in a node")] / expected_values()[place_of("links in a node")];
  EXPECT_GT(links, 0.75);
  EXPECT_LT(links, 1);
}

TEST(Calibration, PresetsTakeTheValues) {
  Values values = expected_values();
  const Values in_use = values_in_use(with_values(published_presets(), values));
  for (std::size_t i = 0; i < values.size(); ++i)
    EXPECT_NEAR(in_use[i] / values[i], 1, 1e-12) << fitted_values()[i].name;
}

// All of a rate that was measured is reached, whatever data sheets promise of others.
TEST(Calibration, AMeasuredLinkIsLeftAlone) {
  const FittedValue& between = fitted_values()[place_of("links between nodes")];
  spec::Cluster cluster = published_presets().clusters.find("a100-ib")->second;
  FittedTimes unused;
  const double promised = cluster.inter_node.efficiency;
  between.scale(cluster, unused, 0.5);
  EXPECT_EQ(cluster.inter_node.efficiency, 0.5 * promised);
  cluster.inter_node.efficiency = 1;
  between.scale(cluster, unused, 0.5);
  EXPECT_EQ(cluster.inter_node.efficiency, 1);
}

TEST(Calibration, StopsWhenAsked) {
  int passes = 0;
  const Calibration calibration =
      calibrate(measured_rows(0.7), published_presets(), [&passes](double share) {
        EXPECT_GT(share, 0);
        return ++passes < 3;
      });
  EXPECT_EQ(passes, 3);
  EXPECT_EQ(calibration.values, expected_values());
}

}  // namespace
}  // namespace tera::plan
