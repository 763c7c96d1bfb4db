// Trainer: the step, readable top to bottom, for one rank.
#pragma once
#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/base/result.h"
#include "core/comm/communicator.h"
#include "core/run/metric_stream.h"
#include "core/run/run_directory.h"
#include "core/spec/run_spec.h"
#include "core/tensor/backend.h"

namespace tera::train {

enum class TrainEnd : std::uint8_t { completed, stopped };

struct TrainOptions {
  bool resume = false;            // continue from the newest valid checkpoint
  std::int64_t stop_at_step = 0;  // > 0: checkpoint and leave after this step
  int attempt = 1;
  const std::atomic<int>* stop_requested = nullptr;  // signals received; 1 = checkpoint and leave
  std::function<void(const run::MetricRecord&)> on_record = {};  // rank 0, after each step
};

// Trains the spec as one rank of `world`, which has as many as the layout, on `backend`, writing
// into the run directory (rank 0 writes metrics, events and checkpoints). Old checkpoints go when
// there is a new one, but for the last, after which nothing may fail: who notes the end of the run
// removes them then. Errors are for people: data, disk, checkpoint, NaN.
Result<TrainEnd> train(const run::RunDirectory& dir,
                       const spec::RunSpec& spec,
                       comm::Communicator& world,
                       Backend& backend,
                       const TrainOptions& options);

}  // namespace tera::train
