#include "core/spec/interchange/batch_sizes.h"

#include <algorithm>

#include <fmt/format.h>

namespace tera::spec {
namespace {

constexpr const char* kTrain = "train_batch_size";
constexpr const char* kMicro = "train_micro_batch_size_per_gpu";
constexpr const char* kSteps = "gradient_accumulation_steps";
constexpr std::int64_t kMost = 1 << 24;

// The value, 0 when absent; less than 1 or too much is an error.
std::int64_t size_of(Importer& in, const char* key) {
  const std::optional<std::int64_t> value = in.integer(key);
  if (value && (*value < 1 || *value > kMost)) {
    in.error(key, fmt::format("got {}, expected 1 to {}", *value, kMost));
    return 0;
  }
  return value.value_or(0);
}

}  // namespace

void read_batch_sizes(Importer& in, std::int64_t num_gpus) {
  ParallelLayout& layout = in.spec().layout;
  std::int64_t train = size_of(in, kTrain);
  std::int64_t micro = size_of(in, kMicro);
  std::int64_t steps = size_of(in, kSteps);
  if (!in.ok()) return;
  std::int64_t replicas = 0;
  if (num_gpus > 0) {
    share_out_ranks(in, kTrain, 0, num_gpus);
    if (!in.ok()) return;
    replicas = layout.data_parallel_size;
  }
  if (train == 0 && micro == 0) {
    return in.error(kTrain,
                    "is missing, and so is train_micro_batch_size_per_gpu: nothing says "
                    "how large a batch is");
  }
  if (train > 0 && replicas == 0 && micro > 0 && steps > 0) {
    if (train % (micro * steps) != 0) {
      return in.error(kTrain,
                      fmt::format("{} is not a multiple of {} {} x {} {} = {}", train, kMicro,
                                  micro, kSteps, steps, micro * steps),
                      fmt::format("use {}", (train / (micro * steps) + 1) * micro * steps));
    }
    replicas = train / (micro * steps);
  }
  if (replicas == 0) {
    share_out_ranks(in, micro > 0 ? kMicro : kTrain, 0, 0);  // says that the number is not known
    replicas = layout.data_parallel_size;
  }
  if (micro == 0)
    micro = std::max<std::int64_t>(1, train / std::max<std::int64_t>(1, steps) / replicas);
  if (steps == 0) steps = train == 0 ? 1 : std::max<std::int64_t>(1, train / (micro * replicas));
  if (train == 0) train = micro * steps * replicas;
  if (train != micro * steps * replicas || train > kMost) {
    return in.error(kTrain,
                    fmt::format("{} is not {} {} x {} {} x {} replicas = {}", train, kMicro, micro,
                                kSteps, steps, replicas, micro * steps * replicas),
                    fmt::format("use {}", micro * steps * replicas));
  }
  in.spec().training.global_batch_size = static_cast<int>(train);
  layout.micro_batch_size = static_cast<int>(micro);
  layout.data_parallel_size = static_cast<int>(replicas);
}

void write_batch_sizes(const RunSpec& spec, SettingList& out) {
  out.push_back(whole_setting(kTrain, spec.training.global_batch_size));
  out.push_back(whole_setting(kMicro, spec.layout.micro_batch_size));
  out.push_back(whole_setting(kSteps, spec.num_micro_batches()));
}

}  // namespace tera::spec
