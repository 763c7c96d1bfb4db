#include "core/plan/pass_cost.h"

namespace tera::plan {

void Seconds::add(const Seconds& other, double times) {
  dense += times * other.dense;
  experts += times * other.experts;
  attention += times * other.attention;
  streaming += times * other.streaming;
  head += times * other.head;
  overhead += times * other.overhead;
  recompute += times * other.recompute;
  tensor += times * other.tensor;
  context += times * other.context;
  expert += times * other.expert;
}

void PassCost::add(const PassCost& other, double times) {
  forward.add(other.forward, times);
  backward.add(other.backward, times);
  weight.add(other.weight, times);
}

}  // namespace tera::plan
