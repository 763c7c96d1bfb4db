// Sines and cosines of rotary positions, made for all tokens of a call at once, and the turn of one
// head.
#pragma once
#include "kernels/bf16.h"
#include "kernels/ops.h"

namespace tera::kernels::cpu {

class RotaryAngles {
 public:
  // Fills the calling thread's scratch, slot 0, which must stay as it is.
  RotaryAngles(const Context& context, View positions, View frequencies, RotaryOptions options);

  // Cosines, then sines of token t, times the factor: [2 P] in the worker's scratch, slot 1.
  const float* of(std::int64_t token, int worker) const;

 private:
  const Context& context_;
  const std::int32_t* positions_;
  std::int64_t pairs_;
  float factor_;
  bool transpose_;
  bool by_token_ = false;
  std::int64_t lowest_ = 0;
  double* table_ = nullptr;
};

// The pairs of one head turned; the dims behind them are left.
template <class T>
using TurnHead =
    void (*)(const T* x, const float* cosine, const float* sine, std::int64_t pairs, T* y);
struct TurnHeads {
  TurnHead<float> f32;
  TurnHead<Bf16> bf16;
};
// Of this processor.
const TurnHeads& turn_heads_here();

}  // namespace tera::kernels::cpu
