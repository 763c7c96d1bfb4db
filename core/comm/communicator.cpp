#include "core/comm/communicator.h"

#include "core/comm/operation_checks.h"

namespace tera::comm {

Communicator::Communicator(std::unique_ptr<Transport> transport)
    : transport_(std::move(transport)) {}

Communicator::~Communicator() = default;

std::unique_ptr<Communicator> Communicator::split(int color, int key, std::string axis) {
  std::unique_ptr<Transport> child;
  const auto make = [&] { child = transport_->split({color, key}, std::move(axis)); };
  if (queue_.idle()) {
    make();
  } else {
    queue_.push(make).get();
  }
  return std::make_unique<Communicator>(std::move(child));
}

void Communicator::run(Operation operation) {
  if (operation.kind == OperationKind::send || queue_.idle()) {
    check_operation(operation, size());
    return transport_->run(operation);
  }
  start(std::move(operation)).wait();
}

Work Communicator::start(Operation operation) {
  check_operation(operation, size());
  if (operation.kind == OperationKind::send) {
    transport_->run(operation);
    std::promise<void> done;
    done.set_value();
    return Work(done.get_future());
  }
  return Work(
      queue_.push([this, operation = std::move(operation)] { transport_->run(operation); }));
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
