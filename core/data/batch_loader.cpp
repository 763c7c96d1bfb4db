#include "core/data/batch_loader.h"

#include <condition_variable>
#include <deque>
#include <mutex>
#include <stop_token>
#include <thread>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "core/base/check.h"
#include "core/data/data_plan.h"

namespace tera::data {
namespace {

constexpr std::size_t kStepsAhead = 8;

// Which ranks and micro-batches the samples of a step go to: x counts samples within the step.
struct Slots {
  std::int64_t micro_batch_size = 1;
  std::int64_t data_parallel_size = 1;
  std::int64_t micro_of(std::int64_t x) const {
    return x / (micro_batch_size * data_parallel_size);
  }
  std::int64_t rank_of(std::int64_t x) const { return x / micro_batch_size % data_parallel_size; }
};

HostBatch empty_batch(const Slots& slots, int seq_length) {
  HostBatch batch;
  batch.batch_size = static_cast<int>(slots.micro_batch_size);
  batch.seq_length = seq_length;
  const auto tokens =
      static_cast<std::size_t>(slots.micro_batch_size) * static_cast<std::size_t>(seq_length);
  batch.tokens.reserve(tokens);
  batch.targets.reserve(tokens);
  batch.positions.reserve(tokens);
  batch.first_key.reserve(tokens);
  return batch;
}

void append_sample(const Sample& sample, HostBatch& batch) {
  batch.tokens.insert(batch.tokens.end(), sample.tokens.begin(), sample.tokens.end() - 1);
  batch.targets.insert(batch.targets.end(), sample.targets.begin(), sample.targets.end());
  batch.first_key.insert(batch.first_key.end(), sample.first_key.begin(), sample.first_key.end());
  std::int32_t index = 0;
  for (const std::int32_t first : sample.first_key)
    batch.positions.push_back(index++ - first);
  batch.num_targets += sample.num_targets;
}

class PrefetchingLoader final : public BatchLoader {
 public:
  PrefetchingLoader(
      DataPlan plan, Slots slots, std::int64_t rank, std::int64_t first_step, HashChain chain)
      : plan_(std::move(plan)),
        slots_(slots),
        rank_(rank),
        next_step_(first_step),
        chain_(chain),
        worker_([this](const std::stop_token& stop) { prepare_steps(stop); }) {}

  Result<StepBatches> next() override {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !ready_.empty(); });
    if (!ready_.front())
      return tl::unexpected<Error>(ready_.front().error());  // stays: no step after it
    Result<StepBatches> step = std::move(ready_.front());
    ready_.pop_front();
    changed_.notify_all();
    return step;
  }

  Result<std::vector<HostBatch>> held_out(int num_sequences) override;
  std::int32_t vocab_size() const override { return plan_.vocab_size(); }
  std::string plan_hash() const override { return plan_.plan_hash(); }

 private:
  void prepare_steps(const std::stop_token& stop) {
    for (bool good = true; good;) {
      Result<StepBatches> step = prepare_step();
      good = step.has_value();
      std::unique_lock lock(mutex_);
      if (!changed_.wait(lock, stop, [this] { return ready_.size() < kStepsAhead; })) return;
      ready_.push_back(std::move(step));
      changed_.notify_all();
    }
  }

  // The tokens of all ranks pass through, for the hash chain and the count of targets.
  Result<StepBatches> prepare_step() {
    StepBatches step;
    step_bytes_.clear();
    const spec::StepSamples samples = plan_.samples_of(next_step_);
    for (std::int64_t x = 0; x < samples.count; ++x) {
      TERA_TRY_VOID(plan_.read_sample(samples.first + x, table_, sample_));
      for (const std::int32_t token : sample_.tokens)
        append_le(step_bytes_, token);
      step.global_targets += sample_.num_targets;
      if (slots_.rank_of(x) != rank_) continue;
      if (slots_.micro_of(x) == std::ssize(step.micro_batches)) {
        step.micro_batches.push_back(empty_batch(slots_, plan_.seq_length()));
      }
      append_sample(sample_, step.micro_batches.back());
    }
    chain_.advance(step_bytes_);
    step.chain = chain_.hex();
    ++next_step_;
    return step;
  }

  const DataPlan plan_;
  const Slots slots_;
  const std::int64_t rank_;
  // Used by the worker alone.
  std::int64_t next_step_;
  HashChain chain_;
  BlockTable table_;
  Sample sample_;
  std::string step_bytes_;
  // Shared.
  std::mutex mutex_;
  std::condition_variable_any changed_;
  std::deque<Result<StepBatches>> ready_;
  std::jthread worker_;  // last: it stops before the rest goes
};

Result<std::vector<HostBatch>> PrefetchingLoader::held_out(int num_sequences) {
  const std::int64_t count = std::min<std::int64_t>(num_sequences, plan_.num_held_out());
  if (count < 1) {
    return fail(ErrorCode::not_found,
                fmt::format("the valid splits of the datasets hold no sequence of {} tokens",
                            plan_.seq_length() + 1),
                "tokenize with --valid, or set training.eval_interval to 0");
  }
  // The last micro-batches are filled with sequences without targets, so that every rank has the
  // same number of micro-batches and the mean loss does not depend on the number of ranks.
  const std::int64_t group = slots_.micro_batch_size * slots_.data_parallel_size;
  const std::int64_t filled = (count + group - 1) / group * group;
  std::vector<HostBatch> batches;
  Sample sample;
  for (std::int64_t x = 0; x < filled; ++x) {
    if (slots_.rank_of(x) != rank_) continue;
    if (slots_.micro_of(x) == std::ssize(batches)) {
      batches.push_back(empty_batch(slots_, plan_.seq_length()));
    }
    TERA_TRY_VOID(plan_.read_held_out(std::min(x, count - 1), sample));
    if (x >= count) {
      std::fill(sample.targets.begin(), sample.targets.end(), -1);
      sample.num_targets = 0;
    }
    append_sample(sample, batches.back());
  }
  return batches;
}

}  // namespace

Result<std::unique_ptr<BatchLoader>> BatchLoader::open(const spec::RunSpec& spec,
                                                       int data_parallel_rank,
                                                       std::int64_t first_step,
                                                       const std::string& chain_before) {
  const Slots slots{.micro_batch_size = spec.layout.micro_batch_size,
                    .data_parallel_size = spec.layout.data_parallel_size};
  if (data_parallel_rank < 0 || data_parallel_rank >= slots.data_parallel_size || first_step < 0) {
    return fail(ErrorCode::invalid_input,
                fmt::format("batch loader: data-parallel rank {} of {} at step {}",
                            data_parallel_rank, slots.data_parallel_size, first_step));
  }
  if (spec.num_micro_batches() < 1) {
    return fail(ErrorCode::invalid_input,
                fmt::format("training.global_batch_size: {} is not a multiple of "
                            "layout.micro_batch_size x layout.data_parallel_size = {} x {}",
                            spec.training.global_batch_size, slots.micro_batch_size,
                            slots.data_parallel_size));
  }
  TERA_TRY(const HashChain chain, HashChain::parse(chain_before));
  TERA_TRY(DataPlan plan, DataPlan::open(spec));
  for (const std::string& note : plan.notes())
    spdlog::warn("{}", note);
  return std::unique_ptr<BatchLoader>(std::make_unique<PrefetchingLoader>(
      std::move(plan), slots, data_parallel_rank, first_step, chain));
}

}  // namespace tera::data
