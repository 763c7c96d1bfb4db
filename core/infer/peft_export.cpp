// Adapters in the layout of the PEFT library. Source: huggingface.co/docs/peft, "PEFT checkpoint
// format" and LoraConfig.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "core/base/staged_directory.h"
#include "core/base/thread_pool.h"
#include "core/checkpoint/hugging_face_names.h"
#include "core/checkpoint/safetensors.h"
#include "core/checkpoint/saved_spec.h"
#include "core/checkpoint/weights.h"
#include "core/infer/convert.h"
#include "core/infer/convert_parts.h"
#include "core/infer/lora_weights.h"
#include "core/spec/export.h"
#include "core/tensor/cpu_backend.h"

namespace tera::infer {
namespace {

namespace fs = std::filesystem;
using checkpoint::ForeignTensor;
using checkpoint::Reader;

// The two factors of one module of the files.
struct PeftModule {
  std::string name;  // "model.layers.0.self_attn.q_proj"
  std::int64_t rank = 0;
  std::int64_t in = 0;
  std::int64_t out = 0;
  std::vector<float> a;  // [rank, in]
  std::vector<float> b;  // [out, rank]
};

// Rows [row, row + n) of the weight that `tensor` holds, each adapter of them a block of the
// factors: a module that is several projections of ours has an adapter of the sum of their ranks.
PeftModule module_of(const ForeignTensor& tensor,
                     const std::vector<const LoraPair*>& pairs,
                     std::int64_t rows_each) {
  PeftModule module;
  module.name = tensor.name.substr(0, tensor.name.size() - std::string_view(".weight").size());
  module.out = tensor.num_rows;
  const std::int64_t expert = tensor.row / rows_each;
  const std::int64_t begin = tensor.row % rows_each;
  for (const LoraPair* pair : pairs)
    module.rank += pair->b.dim(pair->expert ? 2 : 1);
  module.in = pairs.front()->a.dim(pairs.front()->expert ? 2 : 1);
  module.a.resize(static_cast<std::size_t>(module.rank * module.in));
  module.b.resize(static_cast<std::size_t>(module.out * module.rank));
  std::int64_t first_rank = 0;
  for (const LoraPair* pair : pairs) {
    const std::int64_t rank = pair->b.dim(pair->expert ? 2 : 1);
    const float* a = pair->a.data<float>() + (pair->expert ? expert * rank * module.in : 0);
    const float* b = pair->b.data<float>() + (pair->expert ? expert * rows_each * rank : 0);
    std::copy(a, a + rank * module.in, module.a.data() + first_rank * module.in);
    for (std::int64_t i = 0; i < module.out; ++i) {
      const std::int64_t row = begin + i - pair->rows.first;
      if (row < 0 || row >= pair->rows.count) continue;
      const std::int64_t to =
          tensor.row_order.empty() ? i : tensor.row_order[static_cast<std::size_t>(i)];
      std::copy(b + row * rank, b + (row + 1) * rank,
                module.b.data() + to * module.rank + first_rank);
    }
    first_rank += rank;
  }
  return module;
}

bool overlaps(const ForeignTensor& tensor, const LoraPair& pair, std::int64_t rows_each) {
  const std::int64_t begin = tensor.row % rows_each;
  return begin < pair.rows.first + pair.rows.count && pair.rows.first < begin + tensor.num_rows;
}

struct Modules {
  std::vector<PeftModule> modules;
  bool transposed = false;  // weights of GPT-2's Conv1D
};

Modules modules_of(const spec::HuggingFaceExport& config, const std::vector<LoraPair>& pairs) {
  Modules found;
  for (const checkpoint::ForeignParam& param :
       checkpoint::hugging_face_params(config.model, config.family, true)) {
    std::vector<const LoraPair*> here;
    for (const LoraPair& pair : pairs) {
      if (pair.rows.weight == param.spec.name) here.push_back(&pair);
    }
    if (here.empty()) continue;
    const std::int64_t rows_each = param.spec.shape[param.spec.shape.size() - 2];
    for (const ForeignTensor& tensor : param.arrangements.front()) {
      std::vector<const LoraPair*> of_tensor;
      for (const LoraPair* pair : here) {
        if (overlaps(tensor, *pair, rows_each)) of_tensor.push_back(pair);
      }
      if (of_tensor.empty()) continue;
      found.modules.push_back(module_of(tensor, of_tensor, rows_each));
      found.transposed = found.transposed || tensor.transposed;
    }
  }
  return found;
}

std::string config_of(const spec::LoraConfig& lora, const Modules& found) {
  // alpha' / rank' (or over its root) is the scale whatever the rank of a module is.
  const auto alpha = [&](std::int64_t rank) {
    const auto r = static_cast<double>(rank);
    return lora.scale() * (lora.use_rslora ? std::sqrt(r) : r);
  };
  nlohmann::ordered_json ranks = nlohmann::ordered_json::object();
  nlohmann::ordered_json alphas = nlohmann::ordered_json::object();
  nlohmann::ordered_json targets = nlohmann::ordered_json::array();
  for (const PeftModule& module : found.modules) {
    targets.push_back(module.name);
    if (module.rank == lora.rank) continue;
    ranks[module.name] = module.rank;
    alphas[module.name] = alpha(module.rank);
  }
  const nlohmann::ordered_json config = {{"alpha_pattern", alphas},
                                         {"base_model_name_or_path", nullptr},
                                         {"bias", "none"},
                                         {"fan_in_fan_out", found.transposed},
                                         {"inference_mode", true},
                                         {"init_lora_weights", true},
                                         {"lora_alpha", lora.alpha},
                                         {"lora_dropout", 0.0},
                                         {"modules_to_save", nullptr},
                                         {"peft_type", "LORA"},
                                         {"r", lora.rank},
                                         {"rank_pattern", ranks},
                                         {"target_modules", targets},
                                         {"task_type", "CAUSAL_LM"},
                                         {"use_rslora", lora.use_rslora}};
  return config.dump(2) + "\n";
}

Result<void> write_factors(Vfs& vfs, const fs::path& path, const Modules& found) {
  std::vector<checkpoint::SafetensorsEntry> entries;
  std::map<std::string, const std::vector<float>*> values;
  const auto add = [&](const PeftModule& module, const char* factor, std::int64_t rows,
                       std::int64_t cols, const std::vector<float>& data) {
    const std::string name = fmt::format("base_model.model.{}.{}.weight", module.name, factor);
    entries.push_back({.name = name,
                       .dtype = std::string(checkpoint::safetensors_dtype(DType::f32)),
                       .shape = {rows, cols}});
    values[name] = &data;
  };
  for (const PeftModule& module : found.modules) {
    add(module, "lora_A", module.rank, module.in, module.a);
    add(module, "lora_B", module.out, module.rank, module.b);
  }
  return checkpoint::write_safetensors(
      vfs, path, std::move(entries), {{"format", "pt"}},
      [&](const checkpoint::SafetensorsEntry& entry) -> Result<std::span<const std::byte>> {
        return std::as_bytes(std::span(*values.at(entry.name)));
      });
}

}  // namespace

Result<Converted> export_peft(Vfs& vfs,
                              const Reader& reader,
                              const fs::path& out,
                              checkpoint::WeightSet weights,
                              const ConvertOptions& options) {
  TERA_TRY(const spec::RunSpec spec, checkpoint::saved_spec(reader));
  ThreadPool pool(options.num_threads);
  const std::unique_ptr<Backend> backend = make_cpu_backend(pool);
  TERA_TRY(const std::vector<LoraPair> pairs, read_adapters(reader, spec, *backend, weights));
  TERA_TRY(const Reader base, checkpoint::open_base(reader));
  TERA_TRY(spec::HuggingFaceExport config,
           spec::export_hugging_face(spec.model, {.source_config = source_config(base)}));
  const Modules found = modules_of(config, pairs);
  Converted converted{.family = config.family};
  for (const PeftModule& module : found.modules)
    converted.num_params += std::ssize(module.a) + std::ssize(module.b);
  TERA_TRY(StagedDirectory staged, StagedDirectory::create(vfs, out));
  TERA_TRY_VOID(
      write_file_atomic(vfs, staged.path() / "adapter_config.json", config_of(spec.lora, found)));
  TERA_TRY_VOID(write_factors(vfs, staged.path() / "adapter_model.safetensors", found));
  TERA_TRY(converted.files, files_below(vfs, staged.path()));
  TERA_TRY_VOID(staged.publish());
  return converted;
}

}  // namespace tera::infer
