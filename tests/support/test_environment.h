// Where tests find the checkout and the built programs; values already in the environment win.
#pragma once

namespace tera::test {

// Sets TERA_SOURCE_DIR, TERA_BINARY_DIR and Qt's offscreen platform. There is no cache, whatever
// the environment says: what was measured on this computer must not change what tests see, and
// their runs must not change its plans. A test that needs one makes it.
void set_test_environment();

}  // namespace tera::test
