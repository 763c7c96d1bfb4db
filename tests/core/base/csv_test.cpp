#include "core/base/csv.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace tera {
namespace {

using testing::ElementsAre;

std::vector<std::vector<std::string>> texts(std::string_view csv) {
  const auto records = parse_csv(csv);
  EXPECT_TRUE(records) << records.error().message;
  std::vector<std::vector<std::string>> all;
  for (const CsvRecord& record : records.value_or(std::vector<CsvRecord>())) {
    all.emplace_back();
    for (const CsvCell& cell : record)
      all.back().push_back(cell.text);
  }
  return all;
}

std::string refusal(std::string_view csv) {
  const auto records = parse_csv(csv);
  if (records) return "taken";
  const Diagnostic& d = records.error();
  return std::to_string(d.line) + ":" + std::to_string(d.column) + ": " + d.message;
}

TEST(Csv, SplitsAtCommasAndLines) {
  EXPECT_THAT(texts("a,b\n1,\n"), ElementsAre(ElementsAre("a", "b"), ElementsAre("1", "")));
  EXPECT_THAT(texts("a,b\r\n1,2"), ElementsAre(ElementsAre("a", "b"), ElementsAre("1", "2")));
  EXPECT_THAT(texts("\xef\xbb\xbf"
                    "a\n\n\r\nb\r"),
              ElementsAre(ElementsAre("a"), ElementsAre("b")));
  EXPECT_TRUE(texts("").empty());
}

TEST(Csv, QuotesHoldCommasLinesAndDoubledQuotes) {
  EXPECT_THAT(texts("\"a,b\",\"say \"\"so\"\"\",\"\"\n\"two\nlines\",x\n"),
              ElementsAre(ElementsAre("a,b", "say \"so\"", ""), ElementsAre("two\nlines", "x")));
}

TEST(Csv, CellsKnowWhereTheyBegin) {
  const auto records = parse_csv("ab,\"c\nd\",e\nf,g\n");
  ASSERT_TRUE(records);
  const CsvCell& behind_two_lines = (*records)[0][2];
  EXPECT_EQ(behind_two_lines.line, 2);
  EXPECT_EQ(behind_two_lines.column, 4);
  EXPECT_EQ((*records)[1][1].line, 3);
  EXPECT_EQ((*records)[1][1].column, 3);
}

TEST(Csv, SaysWhatIsWrongAndWhere) {
  EXPECT_EQ(refusal("a\n1,\"b\n"), "2:3: the quote that begins this cell is never closed");
  EXPECT_EQ(refusal("\"a\"b,c"),
            "1:4: got 'b' behind a closing quote, expected a comma or a new line");
  EXPECT_EQ(refusal("a,b\"c"), "1:4: got a quote within a cell that does not begin with one");
  EXPECT_EQ(refusal(std::string_view("a\0b", 3)), "1:2: got a zero byte, expected text");
}

}  // namespace
}  // namespace tera
