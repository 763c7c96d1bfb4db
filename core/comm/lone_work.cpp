#include "core/comm/lone_work.h"

#include <chrono>
#include <future>

namespace tera::comm {
namespace {

// Shorter than any timeout that makes sense.
constexpr std::chrono::milliseconds kBeat(200);

}  // namespace

void do_on_rank_0(Communicator& world, Backend& backend, const std::function<void()>& work) {
  if (world.size() == 1) return work();
  std::future<void> done;  // its end waits
  if (world.rank() == 0) done = std::async(std::launch::async, work);
  Tensor told = Tensor::zeros(backend, {1}, DType::u8, MemoryKind::workspace);
  auto& is_done = *told.data<std::uint8_t>();
  while (is_done == 0) {
    if (world.rank() == 0 && done.wait_for(kBeat) == std::future_status::ready) is_done = 1;
    world.broadcast(told, 0);
  }
  if (world.rank() == 0) done.get();
}

}  // namespace tera::comm
