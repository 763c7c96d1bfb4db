// Matrix products and attention, in the shapes of gpt2-124m (hidden 768, 12 heads of 64, 4 x 256
// tokens), of the experts of olmoe-small, and of grouped-query attention over 2048 tokens.
#include <fmt/format.h>

#include "app/teragpt/case_builders.h"

namespace tera::app {
namespace {

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

}  // namespace

Cases product_cases() {
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
  return cases;
}

}  // namespace tera::app
