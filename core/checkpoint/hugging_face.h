// Model directories of the transformers library: opened, checked, and read parameter by parameter.
#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "core/base/result.h"
#include "core/base/vfs.h"
#include "core/checkpoint/checkpoint.h"
#include "core/checkpoint/hugging_face_names.h"
#include "core/checkpoint/tensor_files.h"
#include "core/spec/import.h"

namespace tera::checkpoint {

class HuggingFaceModel {
 public:
  // Reads config.json and every header, and finds the tensors of every parameter: names, shapes and
  // element types are checked, no weight is read yet. Errors list what is missing, unexpected or of
  // another shape.
  static Result<HuggingFaceModel> open(Vfs& vfs, const std::filesystem::path& dir);

  const std::filesystem::path& path() const { return dir_; }
  const spec::HuggingFaceConfig& config() const { return config_; }
  const std::string& config_text() const { return config_text_; }
  // What a person should know: settings and tensors that are left out.
  const std::vector<Diagnostic>& notes() const { return notes_; }

  // Every parameter of the model, with the type its elements keep without loss: f32, or bf16 when
  // all its tensors are bf16 or fp8.
  const std::vector<TensorInfo>& tensors() const { return infos_; }
  // The elements of a parameter, in our arrangement and the type of its info. Errors: the disk, and
  // an element that is not a finite number, named with its tensor and index.
  Result<std::vector<std::byte>> read(const TensorInfo& info) const;

 private:
  void drop_missing_prediction();
  Result<void> find_tensors();
  Result<void> check_copies() const;
  Result<std::vector<std::byte>> read_tensor(const ForeignTensor& tensor, DType dtype) const;

  std::filesystem::path dir_;
  spec::HuggingFaceConfig config_;
  std::string config_text_;
  std::vector<Diagnostic> notes_;
  TensorFiles files_;
  std::vector<TensorInfo> infos_;
  std::map<std::string, std::vector<ForeignTensor>> parts_;  // of each parameter, as in the files
};

}  // namespace tera::checkpoint
