#include <fmt/format.h>

#include "tests/kernels/op_cases.h"

namespace tera::kernels::test {
namespace {

// Of columns [first, first + vocabulary): some targets are elsewhere, some are none.
Buffer targets_among(CaseBuilder& b, std::int64_t tokens, int first, std::int64_t vocabulary) {
  Buffer made = b.integers({tokens}, -1, first + vocabulary + 50);
  made.set(0, first);
  if (tokens > 1) made.set(1, -1);
  return made;
}

void add_loss(std::vector<OpCase>& cases, DType compute) {
  // Most probabilities of widely spread logits are too small to be seen beside the gradient of the
  // target, of about grad_scale.
  for (const auto& [tokens, vocabulary, spread] :
       {std::tuple(1, 1, 4), std::tuple(9, 33, 4), std::tuple(2, 1000, 4),
        std::tuple(40, 1000, 1)}) {
    const std::string shape = fmt::format("{}x{} spread {}", tokens, vocabulary, spread);
    for (const int first : {0, 700}) {
      CaseBuilder f("cross_entropy_forward", fmt::format("{} from {}", shape, first), compute);
      f.in(f.normal_a({tokens, vocabulary}, spread))
          .in(targets_among(f, tokens, first, vocabulary));
      for (int made = 0; made < 3; ++made)
        f.out(f.blank_a({tokens}));
      cases.push_back(
          f.finish(vocabulary, [first](const OpTable& ops, const Context& context, const Views& v) {
            ops.cross_entropy_forward(context, v[0], v[1], first, {v[2], v[3]}, v[4]);
          }));
      CaseBuilder b("cross_entropy_backward", fmt::format("{} from {}", shape, first), compute);
      Buffer logits = b.normal_a({tokens, vocabulary}, spread);
      b.out(std::move(logits)).in(targets_among(b, tokens, first, vocabulary));
      b.out(b.blank_a({tokens}));
      b.out(b.blank_a({tokens})).out(b.blank_a({tokens}));
      cases.push_back(
          b.finish(vocabulary, [first](const OpTable& ops, const Context& context, const Views& v) {
            ops.cross_entropy_forward(context, v[0], v[1], first, {v[2], v[3]}, v[4]);
            ops.cross_entropy_backward(context, v[0], v[1], first, {v[2], v[3]}, 0.25);
          }));
    }
  }
}

void add_elementwise(std::vector<OpCase>& cases, DType compute) {
  for (const std::int64_t n : {1, 63, 5000, 200001}) {
    CaseBuilder a("add", fmt::format("{}", n), compute);
    a.in(a.normal_c({n})).in(a.normal_c({n})).out(a.blank_c({n}));
    cases.push_back(a.finish(1, [](const OpTable& ops, const Context& context, const Views& v) {
      ops.add(context, v[0], v[1], v[2]);
    }));
    CaseBuilder m("scale", fmt::format("{}", n), compute);
    m.in(m.normal_c({n})).out(m.blank_c({n}));
    cases.push_back(m.finish(1, [](const OpTable& ops, const Context& context, const Views& v) {
      ops.scale(context, v[0], 78.38367176906169, v[1]);
    }));
    CaseBuilder z("zero", fmt::format("{}", n), compute);
    z.out(z.normal_c({n}));
    cases.push_back(z.finish(1, [](const OpTable& ops, const Context& context, const Views& v) {
      ops.zero(context, v[0]);
    }));
    CaseBuilder s("sum_of_squares", fmt::format("{}", n), compute);
    s.in(s.normal_c({n})).out(Buffer(DType::f64, {1}));
    cases.push_back(s.finish(static_cast<double>(n),
                             [](const OpTable& ops, const Context& context, const Views& v) {
                               *v[1].as<double>() = ops.sum_of_squares(context, v[0]);
                             }));
  }
  const DType accumulate = accumulate_dtype(compute);
  for (const auto& [from, to] : {std::pair(compute, accumulate), std::pair(accumulate, compute)}) {
    for (const std::int64_t n : {1, 70, 40001}) {
      for (const bool adds : {false, true}) {
        CaseBuilder m("multiply",
                      fmt::format("{} {} to {}{}", n, dtype_name(from), dtype_name(to),
                                  adds ? " accumulate" : ""),
                      compute);
        m.in(m.normal_a({n}).converted(from))
            .in(m.normal_a({n}))
            .out(m.normal_a({n}).converted(to));
        cases.push_back(
            m.finish(2, [adds](const OpTable& ops, const Context& context, const Views& v) {
              ops.multiply(context, v[0], v[1], v[2], adds);
            }));
      }
    }
  }
  CaseBuilder alias("add", "in place", compute);
  alias.out(alias.normal_c({7, 11})).in(alias.normal_c({7, 11}));
  cases.push_back(alias.finish(1, [](const OpTable& ops, const Context& context, const Views& v) {
    ops.add(context, v[0], v[1], v[0]);
  }));
  CaseBuilder scaled("scale", "in place", compute);
  scaled.out(scaled.normal_c({7, 11}));
  cases.push_back(scaled.finish(1, [](const OpTable& ops, const Context& context, const Views& v) {
    ops.scale(context, v[0], -0.3, v[0]);
  }));
  for (const DType to : {DType::f32, DType::bf16, DType::f64}) {
    for (const auto& shape :
         {std::vector<std::int64_t>{1}, {3, 70}, {4, 5, 33}, {2, 3, 4, 9}, {40, 4000}}) {
      CaseBuilder c("copy", fmt::format("{} to {}", fmt::join(shape, "x"), dtype_name(to)),
                    compute);
      c.in(c.normal_c(shape, 1, 3)).out(Buffer(to, shape, 2));
      cases.push_back(c.finish(1, [](const OpTable& ops, const Context& context, const Views& v) {
        ops.copy(context, v[0], v[1]);
      }));
    }
  }
}

}  // namespace

std::vector<OpCase> training_cases(DType compute) {
  std::vector<OpCase> cases;
  add_loss(cases, compute);
  add_elementwise(cases, compute);
  return cases;
}

}  // namespace tera::kernels::test
