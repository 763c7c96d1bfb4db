#include "core/plan/published_table.h"

#include <gtest/gtest.h>

#include "tests/core/plan/published_rows.h"

namespace tera::plan {
namespace {

// The one problem of a table, "line: field: message / hint".
std::string problem(const std::string& text) {
  const PublishedTable table = read_published_table(text);
  std::string all;
  for (const Diagnostic& d : table.diagnostics) {
    if (!all.empty()) all += "\n";
    all += std::to_string(d.line) + ": " + d.field + ": " + d.message + " / " + d.hint;
  }
  return all;
}

TEST(PublishedTable, TheShippedOneIsRead) {
  const PublishedTable table = read_published_table(published_text());
  EXPECT_EQ(table.rows.size(), 1034U);
  for (const Diagnostic& d : table.diagnostics)
    ADD_FAILURE() << d.line << ":" << d.column << ": " << d.field << ": " << d.message;
  const PublishedRow& first = table.rows.front();
  EXPECT_EQ(first.id, "SC21-T1-1");
  EXPECT_EQ(first.layers, 24);
  EXPECT_EQ(first.tflops_per_gpu, 137.0);
  EXPECT_FALSE(first.step_s.has_value());
  EXPECT_EQ(first.gpu, "A100-80GB-SXM (Selene, 8xHDR200)");
}

TEST(PublishedTable, ColumnsStandInAnyOrder) {
  std::string text = table_with({});
  ASSERT_EQ(text.substr(0, 10), "id,source,");
  text = "source,id," + text.substr(10);
  const std::size_t row = text.find('\n') + 1;
  ASSERT_EQ(text.substr(row, 18), "\"row-1\",\"made up\",");
  text = text.substr(0, row) + "made up,row-1," + text.substr(row + 18);
  const PublishedTable table = read_published_table(text);
  ASSERT_EQ(table.rows.size(), 1U);
  EXPECT_EQ(table.rows.front().id, "row-1");
  EXPECT_EQ(table.rows.front().source, "made up");
}

TEST(PublishedTable, HeadersMustBeComplete) {
  std::string text = table_with({});
  text.replace(text.find("layers"), 6, "layres");
  EXPECT_EQ(
      problem(text),
      "1: header: no column is called 'layres' / did you mean layers?\n"
      "1: header: missing: layers / a table has all these columns; cells may be empty where a "
      "value is unknown");
  EXPECT_EQ(problem(""),
            "0: table: got nothing, expected a header and rows / columns are those of "
            "resources/validation/published.csv");
  EXPECT_EQ(problem(published_header()),
            "0: table: got a header without rows / add a row for each measurement");
}

TEST(PublishedTable, RowsHaveAsManyCellsAsTheHeader) {
  EXPECT_EQ(problem(published_header() + "one,two\n"),
            "2: row: got 2 cells, expected 42 as in the header / put a cell that holds a comma "
            "into quotes");
}

TEST(PublishedTable, NumbersAreNumbers) {
  EXPECT_EQ(problem(table_with({{"num_gpus", "0"}})),
            "2: num_gpus: got '0', expected a whole number from 1 to 134217728 / leave the cell "
            "empty where the value is unknown");
  EXPECT_EQ(problem(table_with({{"layers", "24.5"}})).substr(0, 23), "2: layers: got '24.5', ");
  for (const char* text : {"fast", "-1", "0", "inf", "nan", "1e400", "1s"}) {
    EXPECT_EQ(problem(table_with({{"step_time_s", text}})),
              std::string("2: step_time_s: got '") + text +
                  "', expected a number above 0 / leave the cell empty where the value is unknown");
  }
  EXPECT_EQ(problem(table_with({{"shared_experts", "0"}})), "");
  EXPECT_EQ(row_with({{"tflops_per_gpu", "338 (330)"}}).tflops_per_gpu, 338.0);
  for (const char* text : {"338 (", "338 ()", "338 (x)", "338 (330", "(330)"})
    EXPECT_NE(problem(table_with({{"tflops_per_gpu", text}})), "") << text;
}

TEST(PublishedTable, WordsHaveAMeaning) {
  EXPECT_EQ(problem(table_with({{"zero_distopt", "ZeRO-9"}})),
            "2: zero_distopt: got 'ZeRO-9', which has no meaning here / did you mean 'ZeRO-0'?");
  EXPECT_EQ(problem(table_with({{"sequence_parallel", "maybe so"}})),
            "2: sequence_parallel: got 'maybe so', which has no meaning here / words: yes or no");
  EXPECT_EQ(problem(table_with({{"gpu", ""}, {"recompute", ""}})), "");
}

TEST(PublishedTable, SizesDoNotContradictEachOther) {
  EXPECT_EQ(problem(table_with({{"num_gpus", "16"}})),
            "2: num_gpus: row row-1: 16, but TP x PP x CP x DP = 2 x 2 x 1 x 2 = 8 / correct the "
            "row, or say 'do not use' in its notes");
  EXPECT_EQ(
      problem(table_with({{"num_gpus", "7"}, {"TP", ""}})),
      "2: num_gpus: row row-1: 7, but TP x PP x CP x DP = ? x 2 x 1 x 2 / correct the row, or "
      "say 'do not use' in its notes");
  EXPECT_EQ(problem(table_with({{"num_gpus", "16"}, {"notes", "typo: do not use"}})), "");
  EXPECT_EQ(problem(table_with({{"heads", "15"}, {"kv_heads", ""}})).substr(0, 47),
            "2: TP: row row-1: 2 does not divide heads = 15 ");
  EXPECT_EQ(problem(table_with({{"kv_heads", "3"}})).substr(0, 52),
            "2: kv_heads: row row-1: 3 does not divide heads = 16");
  EXPECT_EQ(problem(table_with({{"global_batch", "30"}})).substr(0, 60),
            "2: global_batch: row row-1: 30 is not a multiple of micro_ba");
  EXPECT_EQ(problem(table_with({{"experts", "8"}, {"topk", "9"}})),
            "2: topk: row row-1: 9 of 8 experts / correct the row");
}

TEST(PublishedTable, IdsAreUnique) {
  const std::string text = table_with({});
  EXPECT_EQ(problem(text + text.substr(text.find('\n') + 1)),
            "3: id: 'row-1' names the row in line 2 too / give each row a name of its own");
  EXPECT_EQ(problem(table_with({{"id", ""}})),
            "2: id: empty, expected a name for the row / for example SC21-T1-1");
}

}  // namespace
}  // namespace tera::plan
