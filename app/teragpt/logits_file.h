// Logits of several sequences as a safetensors file, written sequence by sequence.
#pragma once
#include <filesystem>
#include <memory>

#include "core/base/unfinished_file.h"
#include "core/tensor/tensor.h"

namespace tera::app {

class LogitsFile {
 public:
  // Tensor "logits" [sequences, length, vocabulary] f32. Nothing is at `path` before finish().
  static Result<std::unique_ptr<LogitsFile>> create(const std::filesystem::path& path,
                                                    std::int64_t sequences,
                                                    std::int64_t length,
                                                    std::int64_t vocabulary);
  // logits [length, vocabulary] f32 of the next sequence.
  Result<void> append(const Tensor& logits);
  Result<void> finish();

 private:
  explicit LogitsFile(const std::filesystem::path& path);

  std::filesystem::path path_;
  UnfinishedFile part_;
  std::unique_ptr<WritableFile> file_;
};

}  // namespace tera::app
