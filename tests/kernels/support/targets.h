// The forms of the fast ops for narrower registers, which this processor would not choose itself.
#pragma once
#include <cstdint>

#include <hwy/targets.h>

namespace tera::kernels::test {

// body(name) once for each instruction set of this processor; those the kernels are not compiled
// for fall back to one of the others.
template <class Body>
void for_each_target(Body&& body) {
  const std::int64_t supported =
      hwy::SupportedTargets() & ~std::int64_t{HWY_SSE4 | HWY_SCALAR | HWY_EMU128};
  for (std::int64_t rest = supported; rest != 0; rest &= rest - 1) {
    const std::int64_t target = rest & -rest;
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().DeInit();
    body(hwy::TargetName(target));
  }
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().DeInit();
}

}  // namespace tera::kernels::test
