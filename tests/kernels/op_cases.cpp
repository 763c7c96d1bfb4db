#include "tests/kernels/op_cases.h"

#include <numeric>
#include <utility>

namespace tera::kernels::test {

CaseBuilder::CaseBuilder(std::string op, std::string name, DType compute) {
  std::seed_seq seed(name.begin(), name.end());
  rng_.seed(seed);
  case_.op = std::move(op);
  case_.name = std::move(name);
  case_.compute = compute;
}

CaseBuilder& CaseBuilder::in(Buffer buffer) {
  case_.arguments.push_back(std::move(buffer));
  return *this;
}

CaseBuilder& CaseBuilder::out(Buffer buffer) {
  case_.outputs.push_back(case_.arguments.size());
  return in(std::move(buffer));
}

Buffer CaseBuilder::normal_c(std::vector<std::int64_t> shape, double scale, std::int64_t gap) {
  Buffer buffer(case_.compute, std::move(shape), gap);
  buffer.fill_normal(rng_, scale);
  return buffer;
}

Buffer CaseBuilder::normal_a(std::vector<std::int64_t> shape, double scale) {
  Buffer buffer(accumulate_dtype(case_.compute), std::move(shape));
  buffer.fill_normal(rng_, scale);
  return buffer;
}

// Filled with 7: an output that an op does not write shows itself.
Buffer CaseBuilder::blank_c(std::vector<std::int64_t> shape, std::int64_t gap) {
  Buffer buffer(case_.compute, std::move(shape), gap);
  buffer.fill(7);
  return buffer;
}

Buffer CaseBuilder::blank_a(std::vector<std::int64_t> shape) {
  Buffer buffer(accumulate_dtype(case_.compute), std::move(shape));
  buffer.fill(7);
  return buffer;
}

Buffer CaseBuilder::integers(std::vector<std::int64_t> shape,
                             std::int64_t low,
                             std::int64_t high,
                             DType dtype) {
  Buffer buffer(dtype, std::move(shape));
  std::uniform_int_distribution<std::int64_t> draw(low, high - 1);
  for (std::int64_t i = 0; i < buffer.size(); ++i)
    buffer.set(i, static_cast<double>(draw(rng_)));
  return buffer;
}

OpCase CaseBuilder::finish(double reduction,
                           std::function<void(const OpTable&, const Context&, const Views&)> run,
                           bool rounds_inside) {
  case_.reduction = reduction;
  case_.run = std::move(run);
  case_.rounds_inside = rounds_inside;
  return std::move(case_);
}

Buffer integer_buffer(DType dtype,
                      std::vector<std::int64_t> shape,
                      const std::vector<double>& values) {
  Buffer buffer(dtype, std::move(shape));
  buffer.assign(values);
  return buffer;
}

std::vector<OpCase> all_cases(DType compute) {
  std::vector<OpCase> cases;
  for (const auto family : {product_cases, norm_cases, sequence_cases, feed_forward_cases,
                            routing_cases, training_cases, optimizer_cases}) {
    for (OpCase& one : family(compute))
      cases.push_back(std::move(one));
  }
  return cases;
}

}  // namespace tera::kernels::test
