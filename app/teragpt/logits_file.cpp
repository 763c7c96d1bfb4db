#include "app/teragpt/logits_file.h"

#include <span>

#include "core/base/check.h"
#include "core/checkpoint/safetensors.h"

namespace tera::app {

LogitsFile::LogitsFile(const std::filesystem::path& path)
    : path_(path), part_(posix_vfs(), temporary_name(path)) {}

Result<std::unique_ptr<LogitsFile>> LogitsFile::create(const std::filesystem::path& path,
                                                       std::int64_t sequences,
                                                       std::int64_t length,
                                                       std::int64_t vocabulary) {
  TERA_TRY_VOID(check_can_write(posix_vfs(), path));
  std::unique_ptr<LogitsFile> made(new LogitsFile(path));
  TERA_TRY(made->file_, made->part_.open());
  const auto bytes = static_cast<std::uint64_t>(sequences * length * vocabulary) * sizeof(float);
  const checkpoint::SafetensorsEntry entry{
      .name = "logits",
      .dtype = std::string(checkpoint::safetensors_dtype(DType::f32)),
      .shape = {sequences, length, vocabulary},
      .begin = 0,
      .end = bytes};
  constexpr std::uint64_t kAlignment = 8;
  const std::string header =
      checkpoint::make_safetensors_header({&entry, 1}, {{"format", "pt"}}, kAlignment);
  TERA_TRY_VOID(made->file_->append(std::as_bytes(std::span(header))));
  return made;
}

Result<void> LogitsFile::append(const Tensor& logits) {
  TERA_CHECK(logits.dtype() == DType::f32, "logits in {}", dtype_name(logits.dtype()));
  return file_->append(std::as_bytes(
      std::span(logits.data<const float>(), static_cast<std::size_t>(logits.num_elements()))));
}

Result<void> LogitsFile::finish() {
  TERA_TRY_VOID(file_->sync());
  TERA_TRY_VOID(file_->close());
  TERA_TRY_VOID(part_.publish(path_));
  return posix_vfs().sync_dir(path_.has_parent_path() ? path_.parent_path() : ".");
}

}  // namespace tera::app
