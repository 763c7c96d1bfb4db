// Ops that run over [tokens, width] once: what they read and write counts. Shapes of gpt2-124m,
// 4 x 256 tokens: hidden 768, 3072 in the feed-forward part.
#include <fmt/format.h>

#include "app/teragpt/case_builders.h"

namespace tera::app {
namespace {

using kernels::Activation;

constexpr std::int64_t kVocabulary = 50304;

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

// Tokens of all different words: each row of the table is read once, or read and written.
void add_embedding(Cases& cases, DType dtype, std::int64_t tokens, std::int64_t width) {
  const double ids = bytes_of(DType::i32, {tokens});
  const double rows = bytes_of(dtype, {tokens, width});
  const std::string shape = fmt::format("{}/{}x{}", dtype_name(dtype), tokens, width);
  const auto words = [=](Backend& b) {
    const Tensor all = zeros(b, DType::i32, {tokens});
    for (std::int64_t t = 0; t < tokens; ++t)
      all.data<std::int32_t>()[t] = static_cast<std::int32_t>(t * 7919 % kVocabulary);  // coprime
    return all;
  };
  cases.push_back({"embedding/forward/" + shape, dtype, OpWork{.bytes = ids + 2 * rows},
                   [=](Backend& b) -> Call {
                     const Tensor tokens_of = words(b), y = zeros(b, dtype, {tokens, width});
                     const Tensor table = random(b, dtype, {kVocabulary, width});
                     return [=, &b] {
                       b.ops().embedding_forward(b.context(), tokens_of, table, y, false);
                     };
                   }});
  const double table_rows = bytes_of(DType::f32, {tokens, width});
  cases.push_back({"embedding/backward/" + shape, dtype,
                   OpWork{.bytes = ids + rows + 2 * table_rows}, [=](Backend& b) -> Call {
                     const Tensor tokens_of = words(b), dy = random(b, dtype, {tokens, width});
                     const Tensor dtable = zeros(b, DType::f32, {kVocabulary, width});
                     return [=, &b] {
                       b.ops().embedding_backward(b.context(), tokens_of, dy, dtable);
                     };
                   }});
}

void add_biases(Cases& cases, DType dtype, const Shape& rows) {
  const double size = bytes_of(dtype, rows);
  const std::int64_t width = rows[1];
  const std::string shape = fmt::format("{}/{}x{}", dtype_name(dtype), rows[0], width);
  cases.push_back({"add_bias/" + shape, dtype, OpWork{.bytes = 2 * size + bytes_of(dtype, {width})},
                   [=](Backend& b) -> Call {
                     const Tensor y = random(b, dtype, rows);
                     const Tensor bias = random(b, dtype, {width}, 1e-6);
                     return [=, &b] { b.ops().add_bias(b.context(), y, bias); };
                   }});
  cases.push_back({"bias_backward/" + shape, dtype, OpWork{.bytes = size}, [=](Backend& b) -> Call {
                     const Tensor dy = random(b, dtype, rows);
                     const Tensor db = zeros(b, DType::f32, {width});
                     return [=, &b] { b.ops().bias_backward(b.context(), dy, db); };
                   }});
}

void add_elementwise(Cases& cases, DType dtype, const Shape& rows) {
  const double size = bytes_of(dtype, rows);
  const std::string shape = fmt::format("{}/{}x{}", dtype_name(dtype), rows[0], rows[1]);
  const auto add = [&](const std::string& name, double bytes, const auto& call_of) {
    cases.push_back({name + "/" + shape, dtype, OpWork{.bytes = bytes}, [=](Backend& b) -> Call {
                       const Tensor x = random(b, dtype, rows), y = zeros(b, dtype, rows);
                       return call_of(b, x, y);
                     }});
  };
  add("add", 3 * size, [=](Backend& b, const Tensor& x, const Tensor& y) -> Call {
    const Tensor z = random(b, dtype, rows);
    return [=, &b] { b.ops().add(b.context(), x, z, y); };
  });
  add("scale", 2 * size, [](Backend& b, const Tensor& x, const Tensor& y) -> Call {
    return [=, &b] { b.ops().scale(b.context(), x, 0.5, y); };
  });
  add("multiply", 2 * size + bytes_of(DType::f32, rows),
      [=](Backend& b, const Tensor& x, const Tensor& y) -> Call {
        const Tensor factors = random(b, DType::f32, rows);
        return [=, &b] { b.ops().multiply(b.context(), x, factors, y, false); };
      });
}

// Written once and read later: tensors of a feed-forward part, and the table of all words, which is
// larger than caches are.
void add_writes(Cases& cases, DType dtype, const Shape& rows) {
  const double size = bytes_of(dtype, rows);
  const std::string shape = fmt::format("{}/{}x{}", dtype_name(dtype), rows[0], rows[1]);
  cases.push_back({"zero/" + shape, dtype, OpWork{.bytes = size}, [=](Backend& b) -> Call {
                     const Tensor x = random(b, dtype, rows);
                     return [=, &b] { b.ops().zero(b.context(), x); };
                   }});
  const DType other = dtype == DType::f32 ? DType::bf16 : DType::f32;
  cases.push_back({fmt::format("copy/to_{}/{}", dtype_name(other), shape), dtype,
                   OpWork{.bytes = size + bytes_of(other, rows)}, [=](Backend& b) -> Call {
                     const Tensor x = random(b, dtype, rows), y = zeros(b, other, rows);
                     return [=, &b] { b.ops().copy(b.context(), x, y); };
                   }});
}

// Over logits of a chunk of the output head, which become their gradient in place, and over the
// gradient of a matrix.
void add_reductions(Cases& cases, const Shape& logits, const Shape& gradient) {
  for (const bool backward : {false, true}) {
    cases.push_back({fmt::format("cross_entropy/{}/f32/{}x{}", backward ? "backward" : "forward",
                                 logits[0], logits[1]),
                     DType::f32, OpWork{.bytes = (backward ? 2 : 1) * bytes_of(DType::f32, logits)},
                     [=](Backend& b) -> Call {
                       const Tensor values = random(b, DType::f32, logits);
                       const Tensor targets = zeros(b, DType::i32, {logits[0]});
                       const Tensor highest = zeros(b, DType::f32, {logits[0]});
                       const Tensor total = zeros(b, DType::f32, {logits[0]});
                       const Tensor at_target = zeros(b, DType::f32, {logits[0]});
                       b.ops().cross_entropy_forward(b.context(), values, targets, 0,
                                                     {highest, total}, at_target);
                       if (backward) {
                         return [=, &b] {
                           b.ops().cross_entropy_backward(b.context(), values, targets, 0,
                                                          {highest, total}, 1e-3);
                         };
                       }
                       return [=, &b] {
                         b.ops().cross_entropy_forward(b.context(), values, targets, 0,
                                                       {highest, total}, at_target);
                       };
                     }});
  }
  cases.push_back({fmt::format("sum_of_squares/f32/{}x{}", gradient[0], gradient[1]), DType::f32,
                   OpWork{.bytes = bytes_of(DType::f32, gradient)}, [=](Backend& b) -> Call {
                     const Tensor x = random(b, DType::f32, gradient);
                     return [=, &b] { static_cast<void>(b.ops().sum_of_squares(b.context(), x)); };
                   }});
}

}  // namespace

Cases stream_cases() {
  constexpr std::int64_t kTokens = 1024;
  const Shape rows = {kTokens, 3072};
  Cases cases;
  for (const DType dtype : kComputeDtypes) {
    add_embedding(cases, dtype, kTokens, 768);
    add_activations(cases, dtype, rows[0], rows[1]);
    add_biases(cases, dtype, rows);
    add_elementwise(cases, dtype, rows);
    add_writes(cases, dtype, rows);
    add_writes(cases, dtype, {kVocabulary, 768});
  }
  add_reductions(cases, {256, kVocabulary}, rows);
  return cases;
}

}  // namespace tera::app
