// What router.cpp's choice of experts works on, the same for every instruction set.
#pragma once
#include <cstdint>

namespace tera::kernels::cpu {

// Of one worker; each has room for the experts and a vector more.
struct ChoiceScratch {
  std::int32_t* keys;  // of the experts
  std::int32_t* rest;  // of those of one group, then of the groups
  float* group_scores;
};

}  // namespace tera::kernels::cpu
