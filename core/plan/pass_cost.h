// Seconds that a part of the model takes for one micro-batch on one rank, by kind.
#pragma once

namespace tera::plan {

struct Seconds {
  double dense = 0;      // products with weights every token uses
  double experts = 0;    // products of routed experts
  double attention = 0;  // scores and values
  double streaming = 0;  // norms, residuals, activations, permutation: bound by memory
  double head = 0;       // output head and loss
  double overhead = 0;   // starting operations, or waiting for a host that starts them
  double recompute = 0;  // forward work repeated in backward
  double tensor = 0;     // communication, by axis
  double context = 0;
  double expert = 0;
  double compute() const {
    return dense + experts + attention + streaming + head + overhead + recompute;
  }
  double communication() const { return tensor + context + expert; }
  double total() const { return compute() + communication(); }
  void add(const Seconds& other, double times);
};
struct PassCost {
  Seconds forward;
  Seconds backward;
  Seconds weight;  // of backward, what makes the gradients of the weights
  double total() const { return forward.total() + backward.total(); }
  void add(const PassCost& other, double times);
};

}  // namespace tera::plan
