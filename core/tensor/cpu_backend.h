// The CPU backend: host memory, a thread pool, and either the fast or the reference ops.
#pragma once
#include <memory>

#include "core/base/thread_pool.h"
#include "core/tensor/backend.h"

namespace tera {

enum class CpuOps : std::uint8_t { fast, reference };

// The pool must outlive the backend, and the backend the use of its tensors (their memory alone may
// be released later, on any thread). Not thread-safe beyond that: one backend per rank.
std::unique_ptr<Backend> make_cpu_backend(ThreadPool& pool, CpuOps ops = CpuOps::fast);

}  // namespace tera
