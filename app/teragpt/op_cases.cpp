#include "app/teragpt/op_cases.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include <fmt/format.h>

#include "app/teragpt/random_tensor.h"
#include "core/tensor/tensor.h"

namespace tera::app {
namespace {

using kernels::Activation;
using kernels::NormType;
using Shape = std::vector<std::int64_t>;
using Call = std::function<void()>;
using Cases = std::vector<OpCase>;

constexpr DType kComputeDtypes[] = {DType::f32, DType::bf16};

Tensor zeros(Backend& backend, DType dtype, const Shape& shape) {
  return Tensor::zeros(backend, shape, dtype, MemoryKind::workspace);
}

Tensor ones(Backend& backend, std::int64_t n) {
  const Tensor values = zeros(backend, DType::f32, {n});
  std::fill_n(values.data<float>(), n, 1.0F);
  return values;
}

// The three products of a linear layer of T tokens, from K to N: y = x W^T, dx = dy W,
// dW += dy^T x.
void add_linear(Cases& cases, std::int64_t tokens, std::int64_t n, std::int64_t k) {
  const OpWork work{.flops = 2.0 * static_cast<double>(tokens * n * k)};
  for (const DType dtype : kComputeDtypes) {
    const std::string shape = fmt::format("{}/{}x{}x{}", dtype_name(dtype), tokens, n, k);
    cases.push_back({"matmul/forward/" + shape, dtype, work, [=](Backend& b) -> Call {
                       const Tensor x = random(b, dtype, {tokens, k});
                       const Tensor w = random(b, dtype, {n, k});
                       const Tensor y = zeros(b, dtype, {tokens, n});
                       return
                           [=, &b] { b.ops().matmul(b.context(), x, w, y, {.transpose_b = true}); };
                     }});
    cases.push_back({"matmul/input/" + shape, dtype, work, [=](Backend& b) -> Call {
                       const Tensor dy = random(b, dtype, {tokens, n});
                       const Tensor w = random(b, dtype, {n, k});
                       const Tensor dx = zeros(b, dtype, {tokens, k});
                       return [=, &b] { b.ops().matmul(b.context(), dy, w, dx, {}); };
                     }});
    cases.push_back({"matmul/weight/" + shape, dtype, work, [=](Backend& b) -> Call {
                       const Tensor dy = random(b, dtype, {tokens, n});
                       const Tensor x = random(b, dtype, {tokens, k});
                       const Tensor dw = zeros(b, DType::f32, {n, k});
                       return [=, &b] {
                         b.ops().matmul(b.context(), dy, x, dw,
                                        {.transpose_a = true, .accumulate = true});
                       };
                     }});
  }
}

// The same per expert, `rows` each.
void add_experts(
    Cases& cases, std::int64_t experts, std::int64_t rows, std::int64_t n, std::int64_t k) {
  const std::int64_t total = experts * rows;
  const OpWork work{.flops = 2.0 * static_cast<double>(total * n * k)};
  const auto offsets_on = [=](Backend& b) {
    const Tensor offsets = zeros(b, DType::i64, {experts + 1});
    for (std::int64_t e = 0; e <= experts; ++e)
      offsets.data<std::int64_t>()[e] = e * rows;
    return offsets;
  };
  for (const DType dtype : kComputeDtypes) {
    const std::string shape =
        fmt::format("{}/{}experts/{}x{}x{}", dtype_name(dtype), experts, rows, n, k);
    for (const bool transpose : {true, false}) {
      cases.push_back({(transpose ? "grouped/forward/" : "grouped/input/") + shape, dtype, work,
                       [=](Backend& b) -> Call {
                         const Tensor offsets = offsets_on(b);
                         const Tensor x = random(b, dtype, {total, transpose ? k : n});
                         const Tensor w = random(b, dtype, {experts, n, k});
                         const Tensor y = zeros(b, dtype, {total, transpose ? n : k});
                         return [=, &b] {
                           b.ops().grouped_matmul(b.context(), x, w, offsets, y, transpose);
                         };
                       }});
    }
    cases.push_back({"grouped/weight/" + shape, dtype, work, [=](Backend& b) -> Call {
                       const Tensor offsets = offsets_on(b);
                       const Tensor dy = random(b, dtype, {total, n});
                       const Tensor x = random(b, dtype, {total, k});
                       const Tensor dw = zeros(b, DType::f32, {experts, n, k});
                       return [=, &b] {
                         b.ops().grouped_matmul_weight(b.context(), dy, x, offsets, dw, true);
                       };
                     }});
  }
}

struct AttentionShape {
  std::int64_t batch, length, heads, key_heads, width;
};

// Causal flops: half of 4 S^2 D per head forward (q k^T and p v), 2.5 times that backward.
void add_attention(Cases& cases, const AttentionShape& s) {
  const double flops = 2.0 * static_cast<double>(s.batch * s.heads * s.length * s.length * s.width);
  for (const DType dtype : kComputeDtypes) {
    const std::string shape = fmt::format("{}/{}x{}x{}/{}x{}", dtype_name(dtype), s.batch, s.length,
                                          s.heads, s.key_heads, s.width);
    for (const bool backward : {false, true}) {
      cases.push_back({(backward ? "attention/backward/" : "attention/forward/") + shape, dtype,
                       OpWork{.flops = backward ? 2.5 * flops : flops}, [=](Backend& b) -> Call {
                         const Shape query = {s.batch, s.length, s.heads, s.width};
                         const Shape key = {s.batch, s.length, s.key_heads, s.width};
                         const Tensor q = random(b, dtype, query), dout = random(b, dtype, query);
                         const Tensor k = random(b, dtype, key), v = random(b, dtype, key);
                         const Tensor out = zeros(b, dtype, query), dq = zeros(b, dtype, query);
                         const Tensor dk = zeros(b, dtype, key), dv = zeros(b, dtype, key);
                         const Tensor first_key = zeros(b, DType::i32, {s.batch, s.length});
                         const Tensor lse = zeros(b, DType::f32, {s.batch, s.length, s.heads});
                         const Call forward = [=, &b] {
                           b.ops().attention_forward(b.context(), q, k, v, first_key,
                                                     {.scale = 0.125}, out, lse);
                         };
                         if (!backward) return forward;
                         forward();
                         return [=, &b] {
                           b.ops().attention_backward(b.context(), dout, q, k, v, first_key, out,
                                                      lse, {.scale = 0.125}, dq, dk, dv);
                         };
                       }});
    }
  }
}

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

void add_norms(Cases& cases, DType dtype, std::int64_t tokens, std::int64_t width) {
  const double size = static_cast<double>(dtype_bytes(dtype) * tokens * width);
  const std::string shape = fmt::format("{}/{}x{}", dtype_name(dtype), tokens, width);
  const Shape rows = {tokens, width};
  for (const NormType type : {NormType::rms, NormType::layer}) {
    const std::string name = type == NormType::rms ? "rms_norm" : "layer_norm";
    cases.push_back(
        {name + "/forward/" + shape, dtype, OpWork{.bytes = 2 * size}, [=](Backend& b) -> Call {
           const Tensor x = random(b, dtype, rows), y = zeros(b, dtype, rows);
           const Tensor w = random(b, dtype, {width});
           const Tensor rstd = ones(b, tokens), mean = ones(b, tokens);
           return
               [=, &b] { b.ops().norm_forward(b.context(), type, x, w, {}, 1e-5, y, rstd, mean); };
         }});
    cases.push_back(
        {name + "/input/" + shape, dtype, OpWork{.bytes = 3 * size}, [=](Backend& b) -> Call {
           const Tensor x = random(b, dtype, rows), dy = random(b, dtype, rows);
           const Tensor dx = zeros(b, dtype, rows), w = random(b, dtype, {width});
           const Tensor rstd = ones(b, tokens), mean = ones(b, tokens);
           return [=, &b] {
             b.ops().norm_backward_input(b.context(), type, dy, x, w, rstd, mean, dx, false);
           };
         }});
    cases.push_back(
        {name + "/weight/" + shape, dtype, OpWork{.bytes = 2 * size}, [=](Backend& b) -> Call {
           const Tensor x = random(b, dtype, rows), dy = random(b, dtype, rows);
           const Tensor rstd = ones(b, tokens), mean = ones(b, tokens);
           const Tensor dw = zeros(b, DType::f32, {width});
           const Tensor db = type == NormType::layer ? zeros(b, DType::f32, {width}) : Tensor();
           return [=, &b] {
             b.ops().norm_backward_weight(b.context(), type, dy, x, rstd, mean, dw, db);
           };
         }});
  }
}

void add_activations(Cases& cases, DType dtype, std::int64_t tokens, std::int64_t width) {
  const double size = static_cast<double>(dtype_bytes(dtype) * tokens * width);
  const std::string shape = fmt::format("{}/{}x{}", dtype_name(dtype), tokens, width);
  for (const Activation type : {Activation::gelu, Activation::gelu_exact, Activation::swiglu}) {
    const bool gated = type == Activation::swiglu;
    const std::string name = gated ? "swiglu" : type == Activation::gelu ? "gelu" : "gelu_exact";
    const Shape in = {tokens, width};
    const Shape out = {tokens, gated ? width / 2 : width};
    const double output = gated ? size / 2 : size;
    cases.push_back({name + "/forward/" + shape, dtype, OpWork{.bytes = size + output},
                     [=](Backend& b) -> Call {
                       const Tensor x = random(b, dtype, in), y = zeros(b, dtype, out);
                       return [=, &b] { b.ops().activation_forward(b.context(), type, x, {}, y); };
                     }});
    cases.push_back({name + "/backward/" + shape, dtype, OpWork{.bytes = 2 * size + output},
                     [=](Backend& b) -> Call {
                       const Tensor x = random(b, dtype, in), dx = zeros(b, dtype, in);
                       const Tensor dy = random(b, dtype, out);
                       return [=, &b] {
                         b.ops().activation_backward(b.context(), type, dy, x, {}, dx, {});
                       };
                     }});
  }
}

// Ops that stream [T, H].
void add_streams(Cases& cases, std::int64_t tokens, std::int64_t width) {
  const Shape rows = {tokens, width};
  for (const DType dtype : kComputeDtypes) {
    add_norms(cases, dtype, tokens, width);
    const double size = static_cast<double>(dtype_bytes(dtype) * tokens * width);
    const std::string shape = fmt::format("{}/{}x{}", dtype_name(dtype), tokens, width);
    cases.push_back({"add/" + shape, dtype, OpWork{.bytes = 3 * size}, [=](Backend& b) -> Call {
                       const Tensor x = random(b, dtype, rows), z = random(b, dtype, rows);
                       const Tensor y = zeros(b, dtype, rows);
                       return [=, &b] { b.ops().add(b.context(), x, z, y); };
                     }});
    cases.push_back(
        {"bias_backward/" + shape, dtype, OpWork{.bytes = size}, [=](Backend& b) -> Call {
           const Tensor dy = random(b, dtype, rows);
           const Tensor db = zeros(b, DType::f32, {width});
           return [=, &b] { b.ops().bias_backward(b.context(), dy, db); };
         }});
    add_activations(cases, dtype, tokens, width);
  }
  const double size = 4.0 * static_cast<double>(tokens * width);
  cases.push_back({fmt::format("cross_entropy/f32/{}x{}", tokens, width), DType::f32,
                   OpWork{.bytes = 2 * size}, [=](Backend& b) -> Call {
                     const Tensor logits = random(b, DType::f32, rows);
                     const Tensor targets = zeros(b, DType::i32, {tokens});
                     const Tensor loss = zeros(b, DType::f32, {tokens});
                     return [=, &b] {
                       b.ops().cross_entropy(b.context(), logits, targets, 1e-3, loss);
                     };
                   }});
  cases.push_back({fmt::format("sum_of_squares/f32/{}x{}", tokens, width), DType::f32,
                   OpWork{.bytes = size}, [=](Backend& b) -> Call {
                     const Tensor x = random(b, DType::f32, rows);
                     return [=, &b] { static_cast<void>(b.ops().sum_of_squares(b.context(), x)); };
                   }});
}

}  // namespace

std::vector<OpCase> op_cases() {
  Cases cases;
  add_linear(cases, 1024, 768, 768);
  add_linear(cases, 1024, 3072, 768);
  add_linear(cases, 1024, 768, 3072);
  add_linear(cases, 1024, 50304, 768);
  add_linear(cases, 1, 3072, 768);
  add_linear(cases, 16, 3072, 768);
  for (const std::int64_t rows : {16, 48, 128, 512})
    add_experts(cases, 8, rows, 1024, 512);
  add_attention(cases, {4, 256, 12, 12, 64});
  add_attention(cases, {1, 1024, 12, 12, 64});
  add_attention(cases, {1, 2048, 16, 4, 128});
  add_adamw(cases, 20'000'000);
  add_streams(cases, 1024, 3072);
  return cases;
}

}  // namespace tera::app
