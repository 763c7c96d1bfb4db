#include "core/comm/communicator.h"

#include "core/comm/operation_checks.h"

namespace tera::comm {

Communicator::Communicator(std::unique_ptr<Transport> transport, std::shared_ptr<RankLog> log)
    : transport_(std::move(transport)), log_(std::move(log)) {}

Communicator::~Communicator() = default;

std::unique_ptr<Communicator> Communicator::split(int color, int key, std::string axis) {
  std::unique_ptr<Transport> child;
  const std::uint64_t id = record(OperationKind::split, 0);
  log_->traffic.count_split(group());
  const auto make = [&] {
    run_recorded(id, [&] { child = transport_->split({color, key}, std::move(axis)); });
  };
  if (queue_.idle()) {
    make();
  } else {
    queue_.push(make).get();
  }
  return std::make_unique<Communicator>(std::move(child), log_);
}

void Communicator::run(Operation operation) {
  if (operation.kind != OperationKind::send && !queue_.idle())
    return start(std::move(operation)).wait();
  check_operation(operation, size());
  log_->traffic.count(group(), operation);
  run_recorded(record(operation.kind, counted_bytes(group(), operation)),
               [&] { transport_->run(operation); });
}

Work Communicator::start(Operation operation) {
  if (operation.kind == OperationKind::send) {
    run(std::move(operation));
    std::promise<void> done;
    done.set_value();
    return Work(done.get_future());
  }
  check_operation(operation, size());
  log_->traffic.count(group(), operation);
  const std::uint64_t id = record(operation.kind, counted_bytes(group(), operation));
  return Work(queue_.push([this, id, operation = std::move(operation)] {
    run_recorded(id, [&] { transport_->run(operation); });
  }));
}

std::uint64_t Communicator::record(OperationKind kind, std::int64_t bytes) {
  std::int64_t& number = kind == OperationKind::send   ? num_sends_
                         : kind == OperationKind::recv ? num_recvs_
                                                       : num_collectives_;
  return log_->flight.asked(
      {.axis = group().axis, .kind = kind, .number = number++, .bytes = bytes});
}

template <class Task>
void Communicator::run_recorded(std::uint64_t id, const Task& task) {
  log_->flight.running(id);
  try {
    task();
  } catch (...) {
    log_->flight.failed(id);
    throw;
  }
  log_->flight.done(id);
}

std::unique_ptr<Communicator> make_self_communicator() {
  return std::move(make_thread_communicators(1).front());
}

std::vector<std::unique_ptr<Communicator>> make_thread_communicators(int size, double timeout_s) {
  std::vector<std::unique_ptr<Communicator>> communicators;
  for (std::unique_ptr<Transport>& transport : make_thread_transports(size, timeout_s))
    communicators.push_back(std::make_unique<Communicator>(std::move(transport)));
  return communicators;
}

}  // namespace tera::comm
