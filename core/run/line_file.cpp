#include "core/run/line_file.h"

namespace tera::run {

Result<std::unique_ptr<WritableFile>> open_line_file(Vfs& vfs, const std::filesystem::path& path) {
  TERA_TRY(const bool present, vfs.exists(path));
  bool torn = false;
  if (present) {
    TERA_TRY(const std::uint64_t size, vfs.file_size(path));
    if (size > 0) {
      TERA_TRY(const std::vector<std::byte> last, vfs.read(path, size - 1, 1));
      torn = last.front() != std::byte{'\n'};
    }
  }
  TERA_TRY(std::unique_ptr<WritableFile> file, vfs.open_write(path, Vfs::Mode::append));
  if (torn) {
    constexpr std::byte kNewline{'\n'};
    TERA_TRY_VOID(file->append({&kNewline, 1}));
  }
  return file;
}

}  // namespace tera::run
