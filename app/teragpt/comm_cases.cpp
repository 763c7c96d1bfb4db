#include "app/teragpt/comm_cases.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "core/base/clock.h"
#include "core/base/median.h"

namespace tera::app {
namespace {

using comm::Operation;
using comm::OperationKind;

constexpr int kRounds = 7;

constexpr std::array kCollectives = {OperationKind::all_reduce, OperationKind::reduce_scatter,
                                     OperationKind::all_gather, OperationKind::all_to_all,
                                     OperationKind::broadcast};

// Tensors of S bytes on each of n ranks, shards of S / n.
double moved_bytes(OperationKind kind, double bytes, double ranks) {
  switch (kind) {
    case OperationKind::all_reduce:  // in place: each tensor is read and written
    case OperationKind::all_to_all:
      return 2 * ranks * bytes;
    case OperationKind::reduce_scatter:  // all tensors are read, all shards written
    case OperationKind::all_gather:
      return (ranks + 1) * bytes;
    case OperationKind::broadcast:
      return ranks * bytes;
    default:
      return 0;
  }
}

class Timer {
 public:
  Timer(comm::Communicator& world, Backend& backend, const CommSettings& settings)
      : world_(world), backend_(backend), settings_(settings) {}

  CommTiming time(OperationKind kind, std::int64_t bytes) {
    const Operation operation = make(kind, bytes);
    const auto ours = [&] { world_.run(operation); };
    const auto beside = [&] { settings_.raw(operation); };
    ours();  // memory is touched, scratch is there
    if (settings_.raw) beside();
    const double once_s = slowest({timed_s(1, ours)}).front();
    const int shares = kRounds * (settings_.raw ? 2 : 1);
    const int calls =
        static_cast<int>(std::clamp(settings_.seconds / shares / once_s, 1.0, 10000.0));
    std::vector<double> ours_s, beside_s;
    for (int round = 0; round < kRounds; ++round) {
      ours_s.push_back(timed_s(calls, ours));
      if (settings_.raw) beside_s.push_back(timed_s(calls, beside));
    }
    CommTiming timing{.operation = std::string(enum_name(kind)),
                      .bytes = operation.kind == OperationKind::all_gather
                                   ? operation.to.num_bytes()
                                   : operation.from.num_bytes()};
    timing.call_s = median(slowest(ours_s));
    if (settings_.raw) timing.raw_call_s = median(slowest(beside_s));
    timing.moved_bytes = moved_bytes(kind, static_cast<double>(timing.bytes), world_.size());
    return timing;
  }

 private:
  Operation make(OperationKind kind, std::int64_t bytes) {
    const std::int64_t ranks = world_.size();
    const std::int64_t shard =
        std::max<std::int64_t>(bytes / static_cast<std::int64_t>(sizeof(float)) / ranks, 1);
    const auto zeros = [&](std::int64_t n) {  // sums stay zero however often they are made
      return Tensor::zeros(backend_, {n}, DType::f32, MemoryKind::workspace);
    };
    switch (kind) {
      case OperationKind::reduce_scatter:
        return Operation::reduce_scatter(zeros(shard * ranks), zeros(shard), comm::Reduce::sum);
      case OperationKind::all_gather:
        return Operation::all_gather(zeros(shard), zeros(shard * ranks));
      case OperationKind::all_to_all: {
        const std::vector<std::int64_t> rows(static_cast<std::size_t>(ranks), shard);
        return Operation::all_to_all(zeros(shard * ranks), rows, zeros(shard * ranks), rows);
      }
      case OperationKind::broadcast:
        return Operation::broadcast(zeros(shard * ranks), 0);
      default:
        return Operation::all_reduce(zeros(shard * ranks), comm::Reduce::sum);
    }
  }

  // Seconds per call.
  template <class Call>
  double timed_s(int calls, const Call& call) {
    world_.barrier();
    const double start = monotonic_s();
    for (int i = 0; i < calls; ++i)
      call();
    return (monotonic_s() - start) / calls;
  }

  std::vector<double> slowest(const std::vector<double>& seconds) {
    Tensor x = Tensor::empty(backend_, {std::ssize(seconds)}, DType::f64, MemoryKind::workspace);
    std::copy(seconds.begin(), seconds.end(), x.data<double>());
    world_.all_reduce(x, comm::Reduce::max);
    return {x.data<double>(), x.data<double>() + x.num_elements()};
  }

  comm::Communicator& world_;
  Backend& backend_;
  const CommSettings& settings_;
};

}  // namespace

void time_collectives(comm::Communicator& world,
                      Backend& backend,
                      const CommSettings& settings,
                      const std::function<void(const CommTiming&)>& on_row) {
  Timer timer(world, backend, settings);
  for (const OperationKind kind : kCollectives) {
    for (const std::int64_t bytes : settings.bytes) {
      const CommTiming timing = timer.time(kind, bytes);
      if (world.rank() == 0) on_row(timing);
    }
  }
}

}  // namespace tera::app
