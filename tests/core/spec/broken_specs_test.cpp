// Golden text: every broken spec in tests/golden/broken_specs gives exactly the messages beside it.
// TERA_UPDATE_GOLDEN=1 writes them anew; read the difference before committing it.
#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "tests/core/spec/spec_text.h"

namespace tera::spec {
namespace {

namespace fs = std::filesystem;

std::string file_text(const fs::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

fs::path folder() {
  return fs::path(std::getenv("TERA_SOURCE_DIR")) / "tests/golden/broken_specs";
}

std::vector<fs::path> specs() {
  std::vector<fs::path> paths;
  for (const auto& entry : fs::directory_iterator(folder())) {
    if (entry.path().extension() == ".yaml") paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

TEST(BrokenSpecs, GiveTheGoldenMessages) {
  ASSERT_GE(specs().size(), 10U);
  for (const fs::path& path : specs()) {
    const ParsedSpec parsed = load_and_validate(path);
    EXPECT_FALSE(parsed.ok()) << path;
    const std::string text = findings_text(parsed.diagnostics);
    fs::path golden = path;
    golden.replace_extension(".txt");
    if (std::getenv("TERA_UPDATE_GOLDEN") != nullptr) std::ofstream(golden) << text;
    EXPECT_EQ(text, file_text(golden)) << path;
  }
}

TEST(BrokenSpecs, EveryErrorHasALineAndAHint) {
  for (const fs::path& path : specs()) {
    for (const Diagnostic& d : load_and_validate(path).diagnostics) {
      if (d.severity != Severity::error) continue;
      EXPECT_FALSE(d.hint.empty()) << path << ": " << d.field << ": " << d.message;
    }
  }
}

}  // namespace
}  // namespace tera::spec
