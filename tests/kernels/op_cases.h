// The rows every op is tested with: arguments before the call, which of them it writes, and how far
// a fast form may be from the reference. An op without a row here fails the test of the table.
#pragma once
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "kernels/ops.h"
#include "tests/kernels/support/buffer.h"

namespace tera::kernels::test {

using Views = std::vector<View>;

struct OpCase {
  std::string op;    // as in OpTable
  std::string name;  // what is special about this row
  DType compute = DType::f32;
  std::vector<Buffer> arguments;
  std::vector<std::size_t> outputs;  // positions in arguments
  std::function<void(const OpTable&, const Context&, const Views&)> run;
  double reduction = 1;        // longest sum inside
  bool rounds_inside = false;  // factors of products may be rounded to bf16 before them
  double term = 0;             // size of the terms of a sum that may cancel
  // Where values are rounded to the compute dtype on the way to element i of an output: the sum of
  // their sizes, times what each counts in it. Of the arguments after the call.
  std::function<double(const std::vector<Buffer>& arguments, std::size_t output, std::int64_t i)>
      rounded_terms = {};
};

std::vector<OpCase> product_cases(DType compute);
std::vector<OpCase> norm_cases(DType compute);
std::vector<OpCase> sequence_cases(DType compute);      // embedding, rotary, attention
std::vector<OpCase> feed_forward_cases(DType compute);  // activations, biases
std::vector<OpCase> routing_cases(DType compute);       // router, dispatch
std::vector<OpCase> training_cases(DType compute);      // loss, elementwise
std::vector<OpCase> optimizer_cases(DType compute);
std::vector<OpCase> all_cases(DType compute);

// Builds the arguments of one case in order.
class CaseBuilder {
 public:
  CaseBuilder(std::string op, std::string name, DType compute);

  CaseBuilder& in(Buffer buffer);
  CaseBuilder& out(Buffer buffer);
  // Normal random values of the compute dtype (c) or its accumulation dtype (a).
  Buffer normal_c(std::vector<std::int64_t> shape, double scale = 1.0, std::int64_t gap = 0);
  Buffer normal_a(std::vector<std::int64_t> shape, double scale = 1.0);
  Buffer blank_c(std::vector<std::int64_t> shape, std::int64_t gap = 0);
  Buffer blank_a(std::vector<std::int64_t> shape);
  // Integers drawn from [low, high).
  Buffer integers(std::vector<std::int64_t> shape,
                  std::int64_t low,
                  std::int64_t high,
                  DType dtype = DType::i32);
  OpCase finish(double reduction,
                std::function<void(const OpTable&, const Context&, const Views&)> run,
                bool rounds_inside = false);

 private:
  OpCase case_;
  std::mt19937 rng_;
};

// Buffer of integers with given values.
Buffer integer_buffer(DType dtype,
                      std::vector<std::int64_t> shape,
                      const std::vector<double>& values);

}  // namespace tera::kernels::test
