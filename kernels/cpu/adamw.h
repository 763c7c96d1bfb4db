// The numbers of an AdamW step in the form the loop uses them.
#pragma once

namespace tera::kernels::cpu {

struct AdamWFactors {
  float beta1, beta2;
  float one_minus_beta1, one_minus_beta2;  // rounded once, from f64
  float grad_scale;
  float rate;               // learning rate / (1 - beta1^step)
  float second_correction;  // 1 / (1 - beta2^step)
  float eps;
  float shrink;  // - learning rate * weight decay
};

// The gradient and the moments of the weights that are updated.
struct AdamWStates {
  const float* grad;
  float* m;
  float* v;
};

}  // namespace tera::kernels::cpu
