#include <fmt/format.h>

#include "tests/kernels/op_cases.h"

namespace tera::kernels::test {
namespace {

Buffer squares(CaseBuilder& b, std::int64_t n) {
  Buffer v = b.normal_a({n}, 0.1);
  for (std::int64_t i = 0; i < n; ++i)
    v.set(i, v.get(i) * v.get(i));
  return v;
}

void add_adamw(std::vector<OpCase>& cases, DType compute) {
  for (const auto& [n, step] : {std::pair(1, 1), std::pair(1000, 1), std::pair(100003, 7)}) {
    CaseBuilder b("adamw", fmt::format("{} step {}", n, step), compute);
    Buffer v = squares(b, n);
    b.out(b.normal_a({n})).in(b.normal_a({n})).out(b.normal_a({n}, 0.1)).out(std::move(v));
    const AdamWOptions options{
        .learning_rate = 1e-2, .weight_decay = 0.1, .grad_scale = 0.5, .step = step};
    cases.push_back(
        b.finish(4, [options](const OpTable& ops, const Context& context, const Views& a) {
          ops.adamw(context, a[0], a[1], a[2], a[3], options);
        }));
  }
}

void add_adamw_halves(std::vector<OpCase>& cases) {
  for (const auto& [n, step] : {std::pair(1, 1), std::pair(1000, 1), std::pair(100003, 7)}) {
    CaseBuilder b("adamw_halves", fmt::format("{} step {}", n, step), DType::f32);
    const auto f32 = [](const Buffer& x) { return x.converted(DType::f32); };
    Buffer v = f32(squares(b, n));
    b.out(f32(b.normal_a({n}))).in(f32(b.normal_a({n}))).out(f32(b.normal_a({n}, 0.1)));
    b.out(std::move(v));
    const AdamWOptions options{
        .learning_rate = 1e-2, .weight_decay = 0.1, .grad_scale = 0.5, .step = step};
    cases.push_back(
        b.finish(4, [options](const OpTable& ops, const Context& context, const Views& a) {
          const std::int64_t size = a[0].num_elements();
          Buffer high(DType::bf16, {size});
          Buffer low(DType::u16, {size});
          ops.split_halves(context, a[0], high, low);
          ops.adamw_halves(context, high, low, a[1], a[2], a[3], options);
          ops.join_halves(context, high, low, a[0]);
        }));
  }
}

void add_momentum(std::vector<OpCase>& cases, DType compute) {
  for (const int n : {1, 1000, 40003}) {
    const auto arguments = [&, n = n](CaseBuilder& b, bool momentum) {
      b.out(b.normal_a({n})).in(b.normal_a({n})).out(momentum ? b.normal_a({n}, 0.1) : Buffer());
    };
    CaseBuilder l("lion", fmt::format("{}", n), compute);
    arguments(l, true);
    cases.push_back(l.finish(4, [](const OpTable& ops, const Context& context, const Views& a) {
      ops.lion(context, a[0], a[1], a[2],
               {.learning_rate = 1e-2, .weight_decay = 0.1, .grad_scale = 0.5});
    }));
    for (const double momentum : {0.0, 0.9}) {
      for (const bool nesterov : {false, true}) {
        CaseBuilder s("sgd", fmt::format("{} momentum {} {}", n, momentum, nesterov), compute);
        arguments(s, momentum > 0);
        const SgdOptions options{.learning_rate = 1e-2,
                                 .momentum = momentum,
                                 .nesterov = nesterov,
                                 .weight_decay = 0.1,
                                 .grad_scale = 0.5};
        cases.push_back(
            s.finish(4, [options](const OpTable& ops, const Context& context, const Views& a) {
              ops.sgd(context, a[0], a[1], a[2], options);
            }));
      }
    }
  }
}

void add_adafactor(std::vector<OpCase>& cases, DType compute) {
  for (const auto& [rows, cols] :
       {std::pair(1, 1), std::pair(1, 700), std::pair(70, 33), std::pair(257, 130)}) {
    const bool vector = rows == 1 && cols > 1;
    const std::string name = fmt::format("{}x{}{}", rows, cols, vector ? " vector" : "");
    CaseBuilder m("factored_moments", name, compute);
    m.in(m.normal_a({rows, cols}))
        .out(vector ? Buffer() : squares(m, rows))
        .out(squares(m, cols))
        .out(Buffer(DType::f64, {1}));
    cases.push_back(m.finish(
        std::max(rows, cols), [](const OpTable& ops, const Context& context, const Views& a) {
          *a[3].as<double>() = ops.factored_moments(context, a[0], a[1], a[2], 0.5, 0.3);
        }));
    const AdafactorOptions options{
        .learning_rate = 1e-2, .decay = 1e-3, .row_mean = vector ? 1 : 0.01, .grad_scale = 0.5};
    CaseBuilder u("adafactor_norm", name, compute);
    u.in(u.normal_a({rows, cols}))
        .in(vector ? Buffer() : squares(u, rows))
        .in(squares(u, cols))
        .out(Buffer(DType::f64, {1}));
    cases.push_back(
        u.finish(cols, [options](const OpTable& ops, const Context& context, const Views& a) {
          *a[3].as<double>() = ops.adafactor_norm(context, a[0], a[1], a[2], options);
        }));
    CaseBuilder p("adafactor", name, compute);
    p.out(p.normal_a({rows, cols}))
        .in(p.normal_a({rows, cols}))
        .in(vector ? Buffer() : squares(p, rows))
        .in(squares(p, cols));
    cases.push_back(
        p.finish(4, [options](const OpTable& ops, const Context& context, const Views& a) {
          ops.adafactor(context, a[0], a[1], a[2], a[3], options);
        }));
  }
}

// [n] f32 of both signs.
Buffer values_f32(std::int64_t n) {
  Buffer x(DType::f32, {n});
  for (std::int64_t i = 0; i < n; ++i)
    x.set(i, (static_cast<double>(i % 1000) - 499.5) * 1.37e-3);
  return x;
}

void add_weights(std::vector<OpCase>& cases, DType compute) {
  for (const std::int64_t n : {1, 63, 100003}) {
    CaseBuilder l("lerp", fmt::format("{}", n), compute);
    l.in(l.normal_c({n})).out(l.normal_a({n}));
    cases.push_back(l.finish(2, [](const OpTable& ops, const Context& context, const Views& a) {
      ops.lerp(context, a[0], 0.01, a[1]);
    }));
    CaseBuilder r("stochastic_round", fmt::format("{}", n), compute);
    r.in(values_f32(n)).in(r.integers({n}, 0, 65536, DType::u16)).out(Buffer(DType::bf16, {n}));
    cases.push_back(r.finish(1, [](const OpTable& ops, const Context& context, const Views& a) {
      ops.stochastic_round(context, a[0], a[1], a[2]);
    }));
    CaseBuilder s("split_halves", fmt::format("{}", n), compute);
    s.in(values_f32(n)).out(Buffer(DType::bf16, {n})).out(Buffer(DType::u16, {n}));
    cases.push_back(s.finish(0, [](const OpTable& ops, const Context& context, const Views& a) {
      ops.split_halves(context, a[0], a[1], a[2]);
    }));
    CaseBuilder j("join_halves", fmt::format("{}", n), compute);
    j.in(values_f32(n).converted(DType::bf16))
        .in(j.integers({n}, 0, 65536, DType::u16))
        .out(Buffer(DType::f32, {n}));
    cases.push_back(j.finish(0, [](const OpTable& ops, const Context& context, const Views& a) {
      ops.join_halves(context, a[0], a[1], a[2]);
    }));
  }
}

}  // namespace

std::vector<OpCase> optimizer_cases(DType compute) {
  std::vector<OpCase> cases;
  add_adamw(cases, compute);
  add_adamw_halves(cases);
  add_momentum(cases, compute);
  add_adafactor(cases, compute);
  add_weights(cases, compute);
  return cases;
}

}  // namespace tera::kernels::test
