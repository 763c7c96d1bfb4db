// Backend: a place to compute: memory, ops, threads. Owns nothing of the model.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>

#include "kernels/ops.h"

namespace tera {

// What memory is for; counted apart so that plan and reality can be compared.
enum class MemoryKind : std::uint8_t { weights, gradients, optimizer, activations, workspace };
inline constexpr int kNumMemoryKinds = 5;

struct MemoryCounter {
  std::int64_t live_bytes = 0;
  std::int64_t peak_bytes = 0;
};

class Backend {
 public:
  virtual ~Backend() = default;
  virtual std::string_view name() const = 0;  // "ref", "cpu"
  // 64-byte aligned, uninitialised. Freed memory is kept for allocations to come, of any shape.
  // Counted exactly as asked for, without rounding.
  virtual std::shared_ptr<std::byte> allocate(std::int64_t bytes, MemoryKind kind) = 0;
  // Counts memory that this backend allocated as of another kind from now on.
  virtual void recount(const std::shared_ptr<std::byte>& memory, MemoryKind kind) = 0;
  virtual const kernels::OpTable& ops() const = 0;
  virtual const kernels::Context& context() const = 0;
  virtual MemoryCounter counter(MemoryKind kind) const = 0;
  virtual void reset_peaks() = 0;
};

}  // namespace tera
