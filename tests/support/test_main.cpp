// main of every test program: tells tests where the checkout and the built programs are, also when
// a program is started by hand. Linked from an archive: a test with a main of its own keeps it and
// calls set_test_environment itself.
#include <gtest/gtest.h>

#include "tests/support/test_environment.h"

int main(int argc, char** argv) {
  tera::test::set_test_environment();
  testing::InitGoogleTest(&argc, argv);
  return RUN_ALL_TESTS();
}
