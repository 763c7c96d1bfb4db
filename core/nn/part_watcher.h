// Whoever must know which part of a model computes next: weights come before it, gradients leave
// after it.
#pragma once

namespace tera::nn {

// Parts are those of plan::part_of.
class PartWatcher {
 public:
  virtual ~PartWatcher() = default;
  virtual void before_forward(int part) = 0;
  virtual void after_forward(int part) = 0;
  // Of both halves: gradients of this micro-batch are complete after it.
  virtual void before_backward(int part) = 0;
  virtual void after_backward(int part) = 0;
};

}  // namespace tera::nn
