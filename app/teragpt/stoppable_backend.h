// A CPU backend whose work ends between two ops when the process is asked to stop.
#pragma once
#include <memory>

#include "core/base/thread_pool.h"
#include "core/tensor/backend.h"

namespace tera::app {

// Thrown out of an op by a stoppable backend. What was computed with it is half done.
struct Stopped {};

// For work of which nothing is kept: a step of a large model takes many seconds. The pool must
// outlive it.
std::unique_ptr<Backend> make_stoppable_backend(ThreadPool& pool);

}  // namespace tera::app
