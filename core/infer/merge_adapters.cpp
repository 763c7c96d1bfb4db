#include "core/infer/merge_adapters.h"

#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <nlohmann/json.hpp>

#include "core/base/staged_directory.h"
#include "core/base/thread_pool.h"
#include "core/checkpoint/saved_spec.h"
#include "core/checkpoint/weights.h"
#include "core/infer/convert.h"
#include "core/infer/convert_parts.h"
#include "core/infer/lora_weights.h"
#include "core/infer/tokenizer_files.h"
#include "core/spec/yaml.h"
#include "core/tensor/cpu_backend.h"

namespace tera::infer {
namespace {

namespace fs = std::filesystem;
using checkpoint::Reader;
using checkpoint::TensorInfo;

// weight [N, K] f32 += scale B A in the rows it adapts.
void add_adapter(const Tensor& weight, const Tensor& a, const Tensor& b, plan::AdaptedRows rows) {
  Backend& backend = weight.backend();
  const Tensor scaled =
      Tensor::empty(backend, {b.dim(0), b.dim(1)}, DType::f32, MemoryKind::workspace);
  backend.ops().scale(backend.context(), b, rows.scale, scaled);
  backend.ops().matmul(backend.context(), scaled, a,
                       weight.slice(0, rows.first, rows.first + rows.count), {.accumulate = true});
}

// Matrix e of a stack [E, n, m].
Tensor matrix(const Tensor& stack, std::int64_t e) {
  return stack.slice(0, e, e + 1).reshape({stack.dim(1), stack.dim(2)});
}

class Merger {
 public:
  Merger(const Reader& base, Backend& backend, std::vector<LoraPair> pairs)
      : base_(base), backend_(backend) {
    for (LoraPair& pair : pairs)
      pairs_[pair.rows.weight].push_back(std::move(pair));
  }

  // The merged weight in its stored type, valid until the next call.
  Result<std::span<const std::byte>> load(const TensorInfo& stored) {
    merged_ = Tensor::zeros(backend_, stored.shape, stored.dtype, MemoryKind::workspace);
    TERA_TRY_VOID(base_.read(stored, merged_.view().data));
    const auto found = pairs_.find(stored.name);
    if (found != pairs_.end()) add(found->second);
    return std::span(static_cast<const std::byte*>(merged_.view().data),
                     static_cast<std::size_t>(stored.num_bytes()));
  }

 private:
  void add(const std::vector<LoraPair>& pairs) {
    const Tensor sum = Tensor::zeros(backend_, merged_.shape(), DType::f32, MemoryKind::workspace);
    backend_.ops().copy(backend_.context(), merged_, sum);
    for (const LoraPair& pair : pairs) {
      if (!pair.expert) {
        add_adapter(sum, pair.a, pair.b, pair.rows);
        continue;
      }
      for (std::int64_t e = 0; e < sum.dim(0); ++e)
        add_adapter(matrix(sum, e), matrix(pair.a, e), matrix(pair.b, e), pair.rows);
    }
    backend_.ops().copy(backend_.context(), sum, merged_);
  }

  const Reader& base_;
  Backend& backend_;
  std::map<std::string, std::vector<LoraPair>> pairs_;  // by weight
  Tensor merged_;
};

// What the merged checkpoint says of itself; the configuration of an imported base stays with it.
std::string state_of(const Reader& base, const spec::RunSpec& spec) {
  nlohmann::json state = {{"schema", "teragpt.weights/1"},
                          {"source", "merged adapters"},
                          {"spec", spec::to_yaml(spec)},
                          {"step", 0}};
  const nlohmann::json before = nlohmann::json::parse(base.state().json, nullptr, false);
  if (before.is_object() && before.contains("hugging_face_config"))
    state["hugging_face_config"] = before["hugging_face_config"];
  return state.dump();
}

Result<fs::path> write_checkpoint(Vfs& vfs,
                                  const fs::path& ckpt_dir,
                                  const Reader& base,
                                  Merger& merger,
                                  const spec::RunSpec& spec,
                                  const MergeOptions& options,
                                  Merged& merged) {
  const std::vector<TensorInfo> stored = checkpoint::stored_weights(base);
  std::vector<TensorInfo> written = stored;
  std::map<std::string, const TensorInfo*> by_name;
  for (std::size_t i = 0; i < stored.size(); ++i) {
    written[i].role = "weight";
    by_name[stored[i].name] = &stored[i];
    merged.num_bytes += stored[i].num_bytes();
  }
  std::int64_t done = 0;
  const auto load = [&](const TensorInfo& info) -> Result<std::span<const std::byte>> {
    if (options.progress && !options.progress(done, merged.num_bytes))
      return fail(ErrorCode::failed, "the merge was stopped", "nothing was left behind");
    done += info.num_bytes();
    return merger.load(*by_name.at(info.name));
  };
  return checkpoint::save(vfs, ckpt_dir, {.step = 0, .json = state_of(base, spec)}, written, load);
}

}  // namespace

Result<Merged> merge_adapters(Vfs& vfs,
                              const Reader& adapters,
                              const fs::path& out,
                              const MergeOptions& options) {
  TERA_TRY(spec::RunSpec spec, checkpoint::saved_spec(adapters));
  ThreadPool pool(options.num_threads);
  const std::unique_ptr<Backend> backend = make_cpu_backend(pool);
  TERA_TRY(std::vector<LoraPair> pairs,
           read_adapters(adapters, spec, *backend, checkpoint::WeightSet::trained));
  TERA_TRY(const Reader base, checkpoint::open_base(adapters));
  Merged merged{.base = base.path(), .num_adapters = static_cast<int>(pairs.size())};
  TERA_TRY(fs::path tokenizer, tokenizer_of(vfs, adapters));
  if (tokenizer.empty()) {
    TERA_TRY(tokenizer, tokenizer_of(vfs, base));
  }
  spec.lora = {};
  spec.training.init_from.clear();
  TERA_TRY(StagedDirectory staged, StagedDirectory::create(vfs, out));
  Merger merger(base, *backend, std::move(pairs));
  TERA_TRY(const fs::path step_dir,
           write_checkpoint(vfs, staged.path() / "ckpt", base, merger, spec, options, merged));
  if (!tokenizer.empty()) {
    TERA_TRY_VOID(copy_tokenizer_files(vfs, tokenizer.parent_path(), staged.path()));
    TERA_TRY(const std::string text, read_text(vfs, tokenizer, 64 << 20));
    TERA_TRY_VOID(write_file_atomic(vfs, staged.path() / kTokenizerName, text));
    spec.data.tokenizer = kTokenizerName;  // paths in the file are relative to it
  }
  spec.training.init_from = (fs::path("ckpt") / step_dir.filename()).string();
  TERA_TRY_VOID(write_file_atomic(vfs, staged.path() / "spec.yaml", spec::to_template_yaml(spec)));
  TERA_TRY_VOID(staged.publish());
  return merged;
}

}  // namespace tera::infer
