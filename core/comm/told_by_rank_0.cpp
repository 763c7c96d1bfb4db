#include "core/comm/told_by_rank_0.h"

#include <algorithm>

#include "core/tensor/cpu_backend.h"

namespace tera::comm {

std::string told_by_rank_0(Communicator& world, std::string text) {
  ThreadPool pool(1);
  const std::unique_ptr<Backend> backend = make_cpu_backend(pool);
  Tensor length = Tensor::empty(*backend, {1}, DType::i64, MemoryKind::workspace);
  *length.data<std::int64_t>() = std::ssize(text);
  world.broadcast(length, 0);
  text.resize(static_cast<std::size_t>(*length.data<std::int64_t>()));
  Tensor bytes = Tensor::empty(*backend, {std::ssize(text)}, DType::u8, MemoryKind::workspace);
  std::copy(text.begin(), text.end(), bytes.data<std::uint8_t>());
  world.broadcast(bytes, 0);
  std::copy_n(bytes.data<std::uint8_t>(), text.size(), text.begin());
  return text;
}

}  // namespace tera::comm
