// The ops of the engine in the shapes of its models, as calls to measure.
#pragma once
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/tensor/backend.h"

namespace tera::app {

// What one call does at least; one of the two is 0.
struct OpWork {
  double flops = 0;
  double bytes = 0;  // read and written once
};

struct OpCase {
  std::string name;  // "matmul/forward/f32/1024x768x768"
  DType dtype = DType::f32;
  OpWork work;
  // Makes the arguments and returns the call. The backend must outlive it.
  std::function<std::function<void()>(Backend&)> prepare;
  // Another way to the same work, measured in turn with this one: both meet the same machine.
  std::shared_ptr<const OpCase> beside = {};
};

std::vector<OpCase> op_cases();
// Whole feed-forward blocks: a dense one, and beside it one with experts of equal active work.
std::vector<OpCase> block_cases();

}  // namespace tera::app
