#include <cmath>

#include <fmt/format.h>

#include "tests/kernels/op_cases.h"

namespace tera::kernels::test {
namespace {

struct NormRow {
  NormType type;
  std::int64_t tokens, width;
  bool optional;  // with the bias and the stored mean
};

void add_norm(std::vector<OpCase>& cases, DType compute, NormRow row) {
  const bool layer = row.type == NormType::layer;
  const std::string name = fmt::format("{} {}x{}{}", layer ? "layer" : "rms", row.tokens, row.width,
                                       row.optional ? " optional" : "");
  const NormType type = row.type;
  const double length = static_cast<double>(row.width);
  for (const bool branch : {false, true}) {
    CaseBuilder f("norm_forward", name + (branch ? " of a sum" : ""), compute);
    f.in(f.normal_c({row.tokens, row.width}, 3)).in(f.normal_c({row.width}));
    f.in(layer && row.optional ? f.normal_c({row.width}) : Buffer());
    f.out(f.blank_c({row.tokens, row.width})).out(f.blank_a({row.tokens}));
    f.out(row.optional ? f.blank_a({row.tokens}) : Buffer());
    f.in(branch ? f.normal_c({row.tokens, row.width}, 2) : Buffer());
    f.out(branch ? f.blank_c({row.tokens, row.width}) : Buffer());
    cases.push_back(
        f.finish(length, [type](const OpTable& ops, const Context& context, const Views& v) {
          ops.norm_forward(context, type, v[0], v[6], v[1], v[2], 1e-5, v[7], v[3], v[4], v[5]);
        }));
  }
  for (const bool stream : {false, true}) {
    CaseBuilder b("norm_backward_input", name + (stream ? " and stream" : ""), compute);
    Buffer rstd = b.normal_a({row.tokens}, 0.1);
    for (std::int64_t t = 0; t < row.tokens; ++t)
      rstd.set(t, 0.5 + rstd.get(t) * rstd.get(t));
    b.in(b.normal_c({row.tokens, row.width}))
        .in(b.normal_c({row.tokens, row.width}))
        .in(b.normal_c({row.width}));
    b.in(std::move(rstd))
        .in(layer ? b.normal_a({row.tokens}, 0.2) : Buffer())
        .in(stream ? b.normal_c({row.tokens, row.width}) : Buffer())
        .out(b.blank_c({row.tokens, row.width}));
    cases.push_back(
        b.finish(length, [type](const OpTable& ops, const Context& context, const Views& v) {
          ops.norm_backward_input(context, type, v[0], v[1], v[2], v[3], v[4], v[5], v[6]);
        }));
    if (!stream) continue;
    cases.back().rounded_terms = [](const std::vector<Buffer>& v, std::size_t output,
                                    std::int64_t i) {
      return std::abs(v[output].get(i) - v[5].get(i));  // the gradient before d_stream is added
    };
  }
  CaseBuilder w("norm_backward_weight", name, compute);
  w.in(w.normal_c({row.tokens, row.width}))
      .in(w.normal_c({row.tokens, row.width}))
      .in(w.normal_a({row.tokens}));
  w.in(layer ? w.normal_a({row.tokens}, 0.2) : Buffer()).out(w.normal_a({row.width}));
  w.out(layer && row.optional ? w.normal_a({row.width}) : Buffer());
  cases.push_back(w.finish(static_cast<double>(row.tokens),
                           [type](const OpTable& ops, const Context& context, const Views& v) {
                             ops.norm_backward_weight(context, type, v[0], v[1], v[2], v[3], v[4],
                                                      v[5]);
                           }));
}

// Steps of a norm over rows of which ranks hold `width` elements each.
void add_row_parts(std::vector<OpCase>& cases,
                   DType compute,
                   std::int64_t rows,
                   std::int64_t width) {
  const std::string shape = fmt::format("{}x{}", rows, width);
  for (const bool weight : {false, true}) {
    CaseBuilder b("dot_rows", shape + (weight ? " weighted" : ""), compute);
    b.in(b.normal_c({rows, width})).in(b.normal_c({rows, width}));
    b.in(weight ? b.normal_c({width}) : Buffer()).out(b.blank_a({rows}));
    cases.push_back(b.finish(static_cast<double>(width),
                             [](const OpTable& ops, const Context& context, const Views& v) {
                               ops.dot_rows(context, v[0], v[1], v[2], v[3]);
                             }));
  }
  for (const bool both : {false, true}) {
    for (const std::int64_t gap : {0, 5}) {
      CaseBuilder b("scale_rows", fmt::format("{}{} gap {}", shape, both ? " of two" : "", gap),
                    compute);
      b.in(b.normal_c({rows, width})).in(b.normal_c({width})).in(b.normal_a({rows}));
      b.in(both ? b.normal_c({rows, width}) : Buffer()).in(both ? b.normal_a({rows}) : Buffer());
      b.out(b.blank_c({rows, width}, gap));
      cases.push_back(b.finish(2, [](const OpTable& ops, const Context& context, const Views& v) {
        ops.scale_rows(context, v[0], v[1], v[2], v[3], v[4], v[5]);
      }));
    }
  }
}

}  // namespace

std::vector<OpCase> norm_cases(DType compute) {
  std::vector<OpCase> cases;
  for (const NormType type : {NormType::rms, NormType::layer}) {
    for (const bool optional : {false, true}) {
      for (const auto& [tokens, width] :
           {std::pair(1, 1), std::pair(3, 17), std::pair(150, 64), std::pair(70, 100)})
        add_norm(cases, compute, {type, tokens, width, optional});
    }
  }
  for (const auto& [rows, width] : {std::pair(1, 1), std::pair(5, 17), std::pair(90, 300)})
    add_row_parts(cases, compute, rows, width);
  return cases;
}

}  // namespace tera::kernels::test
