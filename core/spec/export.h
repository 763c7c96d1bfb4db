// Our configurations, written for other projects.
#pragma once
#include <string>
#include <vector>

#include "core/base/result.h"
#include "core/spec/import.h"
#include "core/spec/model_config.h"

namespace tera::spec {

struct HuggingFaceExportOptions {
  bool bf16 = false;      // element type of the weights; else float32
  int begin_token_id = -1;  // of a text; -1: none
  int end_token_id = -1;
  // config.json the model was imported from, or empty: keys the engine does not read are kept when
  // the model is still of that family.
  std::string source_config = {};
};

struct HuggingFaceExport {
  HuggingFaceFamily family = HuggingFaceFamily::llama;
  // What is written of the model: no multi-token prediction where the family has none.
  ModelConfig model = {};
  std::string config_json;        // ends with a newline
  std::vector<Diagnostic> notes;  // settings of training that the file has no place for
};

// The family of source_config if it has the architecture, else the first that has, from the
// simplest on. An error when none has: it names the family that comes nearest and the fields that
// do not fit.
Result<HuggingFaceExport> export_hugging_face(const ModelConfig& model,
                                              const HuggingFaceExportOptions& options);

}  // namespace tera::spec
