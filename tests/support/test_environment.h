// Where tests find the checkout and the built programs; values already in the environment win.
#pragma once

namespace tera::test {

// Sets TERA_SOURCE_DIR, TERA_BINARY_DIR and Qt's offscreen platform.
void set_test_environment();

}  // namespace tera::test
