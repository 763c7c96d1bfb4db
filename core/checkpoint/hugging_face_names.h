// Names, shapes and arrangement of a model's tensors in the files of the transformers library.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/plan/param_table.h"
#include "core/spec/import.h"

namespace tera::checkpoint {

// One tensor of the files and the rows of one of ours it fills. Ours is seen as a matrix
// [rows, last dim] (a vector as [n, 1]); parts of a parameter fill its rows without holes.
struct ForeignTensor {
  std::string name = {};
  std::vector<std::int64_t> shape = {};  // in the file
  std::int64_t row = 0;                  // first row of ours
  std::int64_t num_rows = 0;
  bool transposed = false;  // in the file [columns, rows], as GPT-2's Conv1D
  // Row i of the part is row row_order[i] of the file's tensor; empty: the same order.
  std::vector<std::int64_t> row_order = {};
};

// A parameter and the tensors it is made of. Files are written by the first arrangement; any is
// read: libraries differ in prefixes, and in whether experts are stacked.
struct ForeignParam {
  plan::ParamSpec spec;
  std::vector<std::vector<ForeignTensor>> arrangements;
};

// Calls visit with every row of the model's ParamTable, in its order and one at a time (a parameter
// of many experts has many tensors), until it returns false.
void visit_hugging_face_params(const spec::ModelConfig& model,
                               spec::HuggingFaceFamily family,
                               bool rope_interleaved,
                               const std::function<bool(const ForeignParam&)>& visit);
// All of them at once.
std::vector<ForeignParam> hugging_face_params(const spec::ModelConfig& model,
                                              spec::HuggingFaceFamily family,
                                              bool rope_interleaved);

// Tensors that files may hold besides, computed from the configuration: rotary frequencies, masks.
bool is_derived_tensor(std::string_view name);

// A tensor that repeats another one of the files.
struct TensorCopy {
  std::string name;
  std::string of;
  bool required = false;  // written into files; the others are only read
};

// The output head of a model with tied embeddings, which some files hold, and the embedding and
// head that layers of multi-token prediction share with the model.
std::vector<TensorCopy> hugging_face_copies(const spec::ModelConfig& model,
                                            spec::HuggingFaceFamily family);

}  // namespace tera::checkpoint
