#include "core/plan/left_out_error.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tera::plan {
namespace {

using testing::HasSubstr;

TEST(LeftOutError, WhatValidationWritesIsWhatPlansQuote) {
  std::vector<RowPrediction> rows;
  for (const bool has_experts : {false, false, true}) {
    RowPrediction row;
    row.status = RowStatus::determined;
    row.has_experts = has_experts;
    row.measured_step_s = 1;
    row.error = has_experts ? 0.2 : 0.05 * static_cast<double>(rows.size() + 1);
    rows.push_back(row);
  }
  const std::string text = left_out_text(summarize(rows));
  const Result<LeftOutError> dense = read_left_out_error(text, false);
  ASSERT_TRUE(dense) << dense.error().message;
  EXPECT_EQ(dense->num_rows, 2);
  EXPECT_NEAR(dense->mean, 0.075, 1e-4);
  const Result<LeftOutError> experts = read_left_out_error(text, true);
  ASSERT_TRUE(experts);
  EXPECT_EQ(experts->num_rows, 1);
  EXPECT_NEAR(experts->median, 0.2, 1e-4);
}

TEST(LeftOutError, TheFileThatComesWithTeraGPTHasBoth) {
  for (const bool has_experts : {false, true}) {
    const Result<LeftOutError> error = left_out_error(has_experts);
    ASSERT_TRUE(error) << error.error().message;
    EXPECT_GT(error->num_rows, 100);
    EXPECT_GT(error->mean, error->median / 2);
    EXPECT_LT(error->mean, 0.5);
  }
}

TEST(LeftOutError, BadFilesSayWhere) {
  for (const auto& [text, message] :
       {std::pair{"", "no row 'experts'"},
        {"kind,rows\nexperts,3\n", "left_out.csv:2: got '2 cells'"},
        {"experts,3,soon,0.1\n", "left_out.csv:1: got 'soon', expected a number"},
        {"experts,3,-1,0.1\n", "got '-1'"},
        {"experts,\"3", "left_out.csv:1: "}}) {
    const Result<LeftOutError> error = read_left_out_error(text, true);
    ASSERT_FALSE(error) << text;
    EXPECT_THAT(error.error().message, HasSubstr(message)) << text;
    EXPECT_THAT(error.error().hint, HasSubstr("--left-out FILE"));
  }
}

}  // namespace
}  // namespace tera::plan
