// main of every test program: tells tests where the checkout and the built programs are, also when
// a program is started by hand. A test that leaves the environment other than it found it fails:
// those after it would see what they do not see alone. Linked from an archive: a test with a main
// of its own keeps it and calls set_test_environment itself.
#include <algorithm>
#include <iterator>
#include <set>
#include <string>

#include <unistd.h>

#include <gtest/gtest.h>

#include "tests/support/test_environment.h"

namespace {

class EnvironmentKeeper : public testing::EmptyTestEventListener {
  void OnTestStart(const testing::TestInfo& /*test*/) override { before_ = variables(); }
  void OnTestEnd(const testing::TestInfo& /*test*/) override {
    const std::set<std::string> after = variables();
    std::set<std::string> changed;
    std::set_symmetric_difference(before_.begin(), before_.end(), after.begin(), after.end(),
                                  std::inserter(changed, changed.end()));
    for (const std::string& variable : changed)
      ADD_FAILURE() << "the test " << (after.contains(variable) ? "leaves " : "takes ") << variable
                    << ": see tests/support/scoped_variable.h";
  }
  static std::set<std::string> variables() {
    std::set<std::string> all;
    for (char** variable = environ; *variable != nullptr; ++variable)
      all.insert(*variable);
    return all;
  }

  std::set<std::string> before_;
};

}  // namespace

int main(int argc, char** argv) {
  tera::test::set_test_environment();
  testing::InitGoogleTest(&argc, argv);
  // Behind the printer, so that ends are told to this first.
  testing::TestEventListeners& listeners = testing::UnitTest::GetInstance()->listeners();
  listeners.Append(new EnvironmentKeeper);
  return RUN_ALL_TESTS();
}
