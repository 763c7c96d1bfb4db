// The figures in resources/guide are those that the program plans: a page cannot go stale. After a
// change of the models, TERA_RENEW_GUIDE=1 writes the new figures into the pages; read them before
// you commit them.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/app/run_program.h"
#include "tests/support/temp_dir.h"

namespace tera {
namespace {

namespace fs = std::filesystem;

std::string text_of(const fs::path& path) {
  std::ifstream stream(path);
  return {std::istreambuf_iterator<char>(stream), std::istreambuf_iterator<char>()};
}

// Between "<!-- teragpt guide NAME -->" and "<!-- end -->", each on a line of its own.
struct Block {
  std::size_t begin = 0;
  std::size_t size = 0;
};
Block figures_block(const std::string& page, const std::string& name) {
  const std::string mark = "<!-- teragpt guide " + name + " -->\n";
  const std::size_t at = page.find(mark);
  const std::size_t end = page.find("<!-- end -->\n", at);
  if (at == std::string::npos || end == std::string::npos) {
    ADD_FAILURE() << "no figures between marks for " << name;
    return {};
  }
  return {at + mark.size(), end - at - mark.size()};
}

TEST(GuideCommand, PagesHoldTheFiguresOfThisBuild) {
  for (const auto& [name, file] :
       {std::pair{"scale-table", "scale_table.md"}, std::pair{"known-runs", "known_runs.md"},
        std::pair{"validation", "validation.md"}}) {
    const fs::path path = fs::path(std::getenv("TERA_SOURCE_DIR")) / "resources/guide" / file;
    std::string page = text_of(path);
    const Block block = figures_block(page, name);
    const test::ProgramResult guide = test::run_teragpt({"guide", name});
    ASSERT_EQ(guide.exit_code, 0) << guide.err;
    if (std::getenv("TERA_RENEW_GUIDE") != nullptr) {
      page.replace(block.begin, block.size, guide.out);
      std::ofstream(path) << page;
      continue;
    }
    EXPECT_EQ(page.substr(block.begin, block.size), guide.out)
        << file << ": renew it with TERA_RENEW_GUIDE=1";
  }
  const test::ProgramResult text = test::run_teragpt({"guide", "scale-table"});
  const test::ProgramResult json = test::run_teragpt({"guide", "scale-table", "--json"});
  EXPECT_EQ(nlohmann::json::parse(json.out).at("markdown"), text.out);
}

TEST(GuideCommand, ThePictureOfValidationIsThatOfThisBuild) {
  const fs::path source = std::getenv("TERA_SOURCE_DIR");
  const fs::path picture = source / "resources/guide/validation.svg";
  const test::TempDir scratch;
  const fs::path made = scratch.path() / "made.svg";
  const test::ProgramResult validate =
      test::run_teragpt({"validate", (source / "resources/validation/published.csv").string(),
                         "--scatter", made.string(), "--json"});
  ASSERT_EQ(validate.exit_code, 0) << validate.err;
  if (std::getenv("TERA_RENEW_GUIDE") != nullptr)
    fs::copy_file(made, picture, fs::copy_options::overwrite_existing);
  const std::string svg = text_of(made);
  EXPECT_TRUE(text_of(picture) == svg) << "validation.svg: renew it with TERA_RENEW_GUIDE=1";
  // A mark for each row that is compared.
  const auto document = nlohmann::json::parse(validate.out);
  const auto num_marks = std::count(svg.begin(), svg.end(), 'M');
  const auto num_lines = std::count(svg.begin(), svg.end(), 'L');
  constexpr int kLegend = 4;
  EXPECT_EQ(num_marks - num_lines - kLegend, document["classes"]["all"]["time"]["rows"].get<int>());
}

}  // namespace
}  // namespace tera
