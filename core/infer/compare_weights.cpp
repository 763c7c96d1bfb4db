#include "core/infer/compare_weights.h"

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "core/base/rng.h"
#include "core/base/thread_pool.h"
#include "core/nn/model.h"
#include "core/tensor/cpu_backend.h"

namespace tera::infer {
namespace {

constexpr std::uint64_t kSeed = 8;

std::vector<std::int32_t> prompt(int index, const spec::ModelConfig& model) {
  const Philox random(kSeed, RngPurpose::sampling, static_cast<std::uint64_t>(index));
  const int length = std::min(1 + 15 * index / (kNumProbes - 1), model.max_position_embeddings);
  std::vector<std::int32_t> tokens;
  for (int i = 0; i < length; ++i) {
    tokens.push_back(static_cast<std::int32_t>(random.words(0, static_cast<std::uint64_t>(i))[0] %
                                               static_cast<std::uint32_t>(model.vocab_size)));
  }
  return tokens;
}

// Logits after every token of the prompts, one row of V after the other.
Result<std::vector<float>> probe_logits(const spec::ModelConfig& config,
                                        Backend& backend,
                                        DType compute,
                                        const WeightLoader& load,
                                        const std::function<bool(int prompts)>& go_on) {
  nn::ParamStore params(backend, plan::make_param_table(config),
                        {.compute = compute, .gradients = false});
  TERA_TRY_VOID(load(params));
  nn::Model model(config, params);
  std::vector<float> logits;
  for (int i = 0; i < kNumProbes; ++i) {
    const std::vector<std::int32_t> tokens = prompt(i, config);
    nn::KvCache cache = model.make_cache(static_cast<int>(tokens.size()));
    const Tensor rows = model.decode(tokens, cache);
    logits.insert(logits.end(), rows.data<const float>(),
                  rows.data<const float>() + rows.num_elements());
    if (!go_on(i + 1)) {
      return fail(ErrorCode::failed, "the comparison was stopped", "nothing was left behind");
    }
  }
  return logits;
}

}  // namespace

Result<LogitDifference> compare_weights(const spec::ModelConfig& model,
                                        DType compute,
                                        int num_threads,
                                        const WeightLoader& first,
                                        const WeightLoader& second,
                                        const CompareProgress& progress) {
  const auto from = [&progress](int done) {
    return [&progress, done](int prompts) {
      return !progress || progress(done + prompts, 2 * kNumProbes);
    };
  };
  ThreadPool pool(num_threads);
  const std::unique_ptr<Backend> backend = make_cpu_backend(pool);
  TERA_TRY(const std::vector<float> a, probe_logits(model, *backend, compute, first, from(0)));
  TERA_TRY(const std::vector<float> b,
           probe_logits(model, *backend, compute, second, from(kNumProbes)));
  LogitDifference difference;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double apart = std::abs(double{a[i]} - double{b[i]});
    if (!std::isfinite(apart)) {
      return fail(ErrorCode::failed,
                  "the model's logits are not finite: its weights cannot be used");
    }
    difference.max_abs_diff = std::max(difference.max_abs_diff, apart);
    difference.max_abs = std::max(difference.max_abs, std::abs(double{a[i]}));
  }
  return difference;
}

}  // namespace tera::infer
