#include "app/teragpt/op_cases.h"

#include <utility>

#include "app/teragpt/case_builders.h"

namespace tera::app {

std::vector<OpCase> op_cases() {
  std::vector<OpCase> cases;
  for (const auto family :
       {product_cases, stream_cases, norm_cases, head_cases, routing_cases, update_cases}) {
    for (OpCase& one : family())
      cases.push_back(std::move(one));
  }
  return cases;
}

}  // namespace tera::app
