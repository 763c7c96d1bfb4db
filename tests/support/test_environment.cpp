#include "tests/support/test_environment.h"

#include <cstdlib>

namespace tera::test {

void set_test_environment() {
  setenv("TERA_SOURCE_DIR", TERA_TEST_SOURCE_DIR, 0);
  setenv("TERA_BINARY_DIR", TERA_TEST_BINARY_DIR, 0);
  setenv("QT_QPA_PLATFORM", "offscreen", 0);
  setenv("XDG_CACHE_HOME", "/dev/null", 1);
}

}  // namespace tera::test
