#include <fmt/format.h>

#include "tests/kernels/op_cases.h"

namespace tera::kernels::test {
namespace {

void add_activation(std::vector<OpCase>& cases, DType compute, Activation type, bool scaled) {
  for (const auto& [rows, width] : {std::pair(1, 1), std::pair(9, 37), std::pair(65, 128)}) {
    const std::string name = fmt::format("type {} {}x{}{}", static_cast<int>(type), rows, width,
                                         scaled ? " scaled" : "");
    const std::int64_t columns = is_gated(type) ? 2 * width : width;
    CaseBuilder f("activation_forward", name, compute);
    f.in(f.normal_c({rows, columns}, 3))
        .in(scaled ? f.normal_a({rows}) : Buffer())
        .out(f.blank_c({rows, width}));
    cases.push_back(f.finish(4, [type](const OpTable& ops, const Context& context, const Views& v) {
      ops.activation_forward(context, type, v[0], v[1], v[2]);
    }));
    CaseBuilder b("activation_backward", name, compute);
    b.in(b.normal_c({rows, width}))
        .in(b.normal_c({rows, columns}, 3))
        .in(scaled ? b.normal_a({rows}) : Buffer());
    b.out(b.blank_c({rows, columns})).out(scaled ? b.blank_a({rows}) : Buffer());
    cases.push_back(
        b.finish(width, [type](const OpTable& ops, const Context& context, const Views& v) {
          ops.activation_backward(context, type, v[0], v[1], v[2], v[3], v[4]);
        }));
    CaseBuilder i("activation_backward", name + " in place", compute);
    i.in(i.normal_c({rows, width}))
        .out(i.normal_c({rows, columns}, 3))
        .in(scaled ? i.normal_a({rows}) : Buffer())
        .out(scaled ? i.blank_a({rows}) : Buffer());
    cases.push_back(
        i.finish(width, [type](const OpTable& ops, const Context& context, const Views& v) {
          ops.activation_backward(context, type, v[0], v[1], v[2], v[1], v[3]);
        }));
  }
}

void add_bias_cases(std::vector<OpCase>& cases, DType compute) {
  for (const auto& [rows, width] : {std::pair(1, 3), std::pair(300, 40), std::pair(17, 129)}) {
    for (const std::int64_t gap : {0, 5}) {
      const std::string name = fmt::format("{}x{} gap {}", rows, width, gap);
      CaseBuilder f("add_bias", name, compute);
      f.out(f.normal_c({rows, width}, 1, gap)).in(f.normal_c({width}));
      cases.push_back(f.finish(2, [](const OpTable& ops, const Context& context, const Views& v) {
        ops.add_bias(context, v[0], v[1]);
      }));
      CaseBuilder b("bias_backward", name, compute);
      b.in(b.normal_c({rows, width}, 1, gap)).out(b.normal_a({width}));
      cases.push_back(
          b.finish(rows, [](const OpTable& ops, const Context& context, const Views& v) {
            ops.bias_backward(context, v[0], v[1]);
          }));
    }
  }
}

}  // namespace

std::vector<OpCase> feed_forward_cases(DType compute) {
  std::vector<OpCase> cases;
  for (const Activation type :
       {Activation::swiglu, Activation::gelu, Activation::relu, Activation::gelu_exact,
        Activation::relu_squared, Activation::geglu}) {
    for (const bool scaled : {false, true})
      add_activation(cases, compute, type, scaled);
  }
  add_bias_cases(cases, compute);
  return cases;
}

}  // namespace tera::kernels::test
