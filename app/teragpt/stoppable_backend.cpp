#include "app/teragpt/stoppable_backend.h"

#include "app/teragpt/cli.h"
#include "core/tensor/cpu_backend.h"

namespace tera::app {
namespace {

class StoppableBackend final : public Backend, private kernels::Executor {
 public:
  explicit StoppableBackend(ThreadPool& pool)
      : inner_(make_cpu_backend(pool)), context_{.executor = this} {}

  std::string_view name() const override { return inner_->name(); }
  std::shared_ptr<std::byte> allocate(std::int64_t bytes, MemoryKind kind) override {
    return inner_->allocate(bytes, kind);
  }
  void recount(const std::shared_ptr<std::byte>& memory, MemoryKind kind) override {
    inner_->recount(memory, kind);
  }
  const kernels::OpTable& ops() const override { return inner_->ops(); }
  const kernels::Context& context() const override { return context_; }
  MemoryCounter counter(MemoryKind kind) const override { return inner_->counter(kind); }
  void reset_peaks() override { inner_->reset_peaks(); }

 private:
  kernels::Executor& executor() const { return *inner_->context().executor; }
  int num_workers() const override { return executor().num_workers(); }
  void parallel_for(std::int64_t num_tasks,
                    const std::function<void(std::int64_t, int)>& body) override {
    if (stop_requests().load(std::memory_order_relaxed) > 0) throw Stopped{};
    executor().parallel_for(num_tasks, body);
  }
  std::byte* scratch(int worker, int slot, std::size_t bytes) override {
    return executor().scratch(worker, slot, bytes);
  }

  std::unique_ptr<Backend> inner_;
  kernels::Context context_;
};

}  // namespace

std::unique_ptr<Backend> make_stoppable_backend(ThreadPool& pool) {
  return std::make_unique<StoppableBackend>(pool);
}

}  // namespace tera::app
