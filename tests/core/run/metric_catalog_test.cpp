#include "core/run/metric_catalog.h"

#include <algorithm>
#include <cctype>
#include <set>
#include <string>

#include <gtest/gtest.h>

namespace tera::run {
namespace {

TEST(MetricCatalog, NamesAreUniqueAndPlain) {
  std::set<std::string_view> names;
  for (const MetricInfo& info : metric_catalog()) {
    EXPECT_TRUE(names.insert(info.name).second) << info.name;
    EXPECT_TRUE(std::all_of(info.name.begin(), info.name.end(), [](unsigned char c) {
      return std::islower(c) != 0 || std::isdigit(c) != 0 || c == '_';
    })) << info.name;
    EXPECT_FALSE(info.unit.empty()) << info.name;
    EXPECT_TRUE(info.meaning.ends_with('.')) << info.name << " has one sentence of meaning";
  }
  // Members of a record that are no metrics.
  for (const char* reserved : {"time_s", "attempt", "rank", "step", "data_chain", "expert_layers"})
    EXPECT_EQ(names.count(reserved), 0U) << reserved;
}

TEST(MetricCatalog, FindsByName) {
  ASSERT_NE(find_metric("loss"), nullptr);
  EXPECT_EQ(find_metric("loss")->unit, "nat");
  EXPECT_TRUE(find_metric("expert_load")->is_vector);
  EXPECT_EQ(find_metric("lossy"), nullptr);
  EXPECT_EQ(find_metric(""), nullptr);
}

TEST(MetricCatalog, AUnitInTheNameAgreesWithTheUnit) {
  for (const MetricInfo& info : metric_catalog()) {
    if (info.name.ends_with("_per_s")) {
      EXPECT_TRUE(info.unit.ends_with("/s")) << info.name;
    } else if (info.name.ends_with("_s")) {
      EXPECT_EQ(info.unit, "s") << info.name;
    }
  }
}

}  // namespace
}  // namespace tera::run
