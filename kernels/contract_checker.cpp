#include "kernels/contract_checker.h"

#include <stdexcept>

namespace tera::kernels::contract {

std::string shape_text(const std::int64_t* dims, int rank) {
  std::string text = "[";
  for (int d = 0; d < rank; ++d) {
    if (d > 0) text += ", ";
    text += dims[d] == kAny ? std::string("any") : std::to_string(dims[d]);
  }
  return text + "]";
}

std::string describe(const View& view) {
  if (!view.present() && view.rank == 0) return "absent";
  return std::string(dtype_name(view.dtype)) + " " + shape_text(view.shape.data(), view.rank);
}

void fail(const char* op, const std::string& text) {
  throw std::invalid_argument(std::string(op) + ": " + text);
}

void check_indices(
    const char* op, const char* name, const View& v, std::int64_t lowest, std::int64_t limit) {
  const auto* ids = v.as<const std::int32_t>();
  const std::int64_t n = v.num_elements();
  for (std::int64_t i = 0; i < n; ++i) {
    if (ids[i] < lowest || ids[i] >= limit) {
      fail(op, std::string(name) + " holds " + std::to_string(ids[i]) + " at " + std::to_string(i) +
                   ", expected " + std::to_string(lowest) + " to " + std::to_string(limit - 1));
    }
  }
}

}  // namespace tera::kernels::contract
