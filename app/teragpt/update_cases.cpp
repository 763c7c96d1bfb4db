// Updates of 20 million weights: optimizers, and the forms weights are kept in.
#include <cstddef>

#include <fmt/format.h>

#include "app/teragpt/case_builders.h"

namespace tera::app {
namespace {

// The update of a tensor in f32, and of one in bf16 whose master is kept in halves: 28 B an
// element, all but the gradient read and written.
void add_adamw(Cases& cases, std::int64_t n) {
  for (const DType dtype : kComputeDtypes) {
    cases.push_back(
        {fmt::format("adamw/{}/{}", dtype_name(dtype), n), dtype,
         OpWork{.bytes = 28 * static_cast<double>(n)}, [=](Backend& b) -> Call {
           const kernels::AdamWOptions options{.learning_rate = 1e-4, .weight_decay = 0.1};
           const Tensor weight = random(b, dtype, {n});
           const Tensor grad = random(b, DType::f32, {n}, 1e-3);
           const Tensor m = zeros(b, DType::f32, {n}), v = zeros(b, DType::f32, {n});
           if (dtype == DType::f32) {
             return [=, &b] { b.ops().adamw(b.context(), weight, grad, m, v, options); };
           }
           const Tensor low = zeros(b, DType::u16, {n});
           return [=, &b] { b.ops().adamw_halves(b.context(), weight, low, grad, m, v, options); };
         }});
  }
}

// Weight and momentum read and written, gradient read: 20 B an element.
void add_momentum(Cases& cases, std::int64_t n) {
  const OpWork work{.bytes = 20 * static_cast<double>(n)};
  for (const bool lion : {true, false}) {
    cases.push_back({fmt::format("{}/f32/{}", lion ? "lion" : "sgd", n), DType::f32, work,
                     [=](Backend& b) -> Call {
                       const Tensor weight = random(b, DType::f32, {n});
                       const Tensor grad = random(b, DType::f32, {n}, 1e-3);
                       const Tensor m = zeros(b, DType::f32, {n});
                       if (lion) {
                         return [=, &b] {
                           b.ops().lion(b.context(), weight, grad, m, {.learning_rate = 1e-4});
                         };
                       }
                       return [=, &b] {
                         b.ops().sgd(b.context(), weight, grad, m,
                                     {.learning_rate = 1e-4, .momentum = 0.9});
                       };
                     }});
  }
}

// The three passes over a matrix; its moments by rows and columns are small beside it.
void add_adafactor(Cases& cases, std::int64_t rows, std::int64_t cols) {
  const double n = static_cast<double>(rows * cols);
  const std::string shape = fmt::format("f32/{}x{}", rows, cols);
  const kernels::AdafactorOptions options{.learning_rate = 1e-4, .decay = 1e-5};
  cases.push_back(
      {"adafactor/moments/" + shape, DType::f32, OpWork{.bytes = 4 * n}, [=](Backend& b) -> Call {
         const Tensor grad = random(b, DType::f32, {rows, cols});
         const Tensor of_rows = ones(b, rows), of_cols = ones(b, cols);
         return [=, &b] {
           static_cast<void>(
               b.ops().factored_moments(b.context(), grad, of_rows, of_cols, 1, 0.01));
         };
       }});
  cases.push_back(
      {"adafactor/norm/" + shape, DType::f32, OpWork{.bytes = 4 * n}, [=](Backend& b) -> Call {
         const Tensor grad = random(b, DType::f32, {rows, cols});
         const Tensor of_rows = ones(b, rows), of_cols = ones(b, cols);
         return [=, &b] {
           static_cast<void>(b.ops().adafactor_norm(b.context(), grad, of_rows, of_cols, options));
         };
       }});
  cases.push_back(
      {"adafactor/update/" + shape, DType::f32, OpWork{.bytes = 12 * n}, [=](Backend& b) -> Call {
         const Tensor weight = random(b, DType::f32, {rows, cols});
         const Tensor grad = random(b, DType::f32, {rows, cols});
         const Tensor of_rows = ones(b, rows), of_cols = ones(b, cols);
         return
             [=, &b] { b.ops().adafactor(b.context(), weight, grad, of_rows, of_cols, options); };
       }});
}

// A running mean of weights in f32, which is read and written.
void add_mean(Cases& cases, std::int64_t n) {
  for (const DType dtype : kComputeDtypes) {
    const OpWork work{.bytes = static_cast<double>((dtype_bytes(dtype) + 8) * n)};
    cases.push_back(
        {fmt::format("lerp/{}/{}", dtype_name(dtype), n), dtype, work, [=](Backend& b) -> Call {
           const Tensor x = random(b, dtype, {n});
           const Tensor y = random(b, DType::f32, {n});
           return [=, &b] { b.ops().lerp(b.context(), x, 0.01, y); };
         }});
  }
}

// From f32 to bf16 with 16 random bits, and to bf16 and the 16 bits it leaves out, and back: 8 B an
// element each.
void add_forms(Cases& cases, std::int64_t n) {
  const OpWork work{.bytes = 8 * static_cast<double>(n)};
  cases.push_back(
      {fmt::format("stochastic_round/bf16/{}", n), DType::bf16, work, [=](Backend& b) -> Call {
         const Tensor x = random(b, DType::f32, {n});
         const Tensor y = zeros(b, DType::bf16, {n});
         const Tensor noise = zeros(b, DType::u16, {n});
         for (std::int64_t i = 0; i < n; ++i)
           noise.data<std::uint16_t>()[i] = static_cast<std::uint16_t>(i * 40503);
         return [=, &b] { b.ops().stochastic_round(b.context(), x, noise, y); };
       }});
  for (const bool split : {true, false}) {
    cases.push_back({fmt::format("{}/bf16/{}", split ? "split_halves" : "join_halves", n),
                     DType::bf16, work, [=](Backend& b) -> Call {
                       const Tensor x = random(b, DType::f32, {n});
                       const Tensor high = random(b, DType::bf16, {n}),
                                    low = zeros(b, DType::u16, {n});
                       if (split)
                         return [=, &b] { b.ops().split_halves(b.context(), x, high, low); };
                       return [=, &b] { b.ops().join_halves(b.context(), high, low, x); };
                     }});
  }
}

}  // namespace

Cases update_cases() {
  constexpr std::int64_t kWeights = 20'000'000;
  Cases cases;
  add_adamw(cases, kWeights);
  add_momentum(cases, kWeights);
  add_adafactor(cases, 5000, 4000);
  add_mean(cases, kWeights);
  add_forms(cases, kWeights);
  return cases;
}

}  // namespace tera::app
