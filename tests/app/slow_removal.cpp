// Loaded before the C library into a program under test: what it moves to a trash waits until there
// is a file $TERA_TEST_GATE, and says so by a file $TERA_TEST_GATE.waits.
#include <cstdio>
#include <cstdlib>
#include <string>

#include <dlfcn.h>
#include <fcntl.h>
#include <unistd.h>

extern "C" int renameat2(
    int from_dir, const char* from, int to_dir, const char* to, unsigned flags) {
  const char* gate = std::getenv("TERA_TEST_GATE");
  if (gate != nullptr && std::string(to).find("/.trash-") != std::string::npos) {
    close(open((std::string(gate) + ".waits").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    while (access(gate, F_OK) != 0)
      usleep(10'000);
  }
  using Rename = int (*)(int, const char*, int, const char*, unsigned);
  static const auto real = reinterpret_cast<Rename>(dlsym(RTLD_NEXT, "renameat2"));
  return real(from_dir, from, to_dir, to, flags);
}
