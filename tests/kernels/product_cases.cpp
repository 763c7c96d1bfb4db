#include <fmt/format.h>

#include "tests/kernels/op_cases.h"

namespace tera::kernels::test {
namespace {

struct Product {
  std::int64_t m, n, k;
};

OpCase matmul_case(DType compute, Product p, MatmulOptions options, DType out, std::int64_t gap) {
  CaseBuilder b("matmul",
                fmt::format("{}x{}x{} a{} b{}{} to {}, gap {}", p.m, p.n, p.k,
                            options.transpose_a ? "t" : "n", options.transpose_b ? "t" : "n",
                            options.accumulate ? " accumulate" : "", dtype_name(out), gap),
                compute);
  b.in(options.transpose_a ? b.normal_c({p.k, p.m}, 1, gap) : b.normal_c({p.m, p.k}, 1, gap));
  b.in(options.transpose_b ? b.normal_c({p.n, p.k}, 1, gap) : b.normal_c({p.k, p.n}, 1, gap));
  Buffer c = b.normal_a({p.m, p.n});
  Buffer strided(out, {p.m, p.n}, gap);
  for (std::int64_t i = 0; i < c.size(); ++i)
    strided.set(i, c.get(i));
  b.out(std::move(strided));
  return b.finish(static_cast<double>(p.k),
                  [options](const OpTable& ops, const Context& context, const Views& v) {
                    ops.matmul(context, v[0], v[1], v[2], options);
                  });
}

// Rows per expert: none, one, a few, many, or all of them with one expert.
const std::vector<std::vector<std::int64_t>> kLoads = {
    {0, 1, 5, 0, 40, 17}, {0, 0, 33}, {64}, {1, 1, 1, 1}, {0, 0}, {130, 0, 7}};

Buffer offsets_of(const std::vector<std::int64_t>& load) {
  std::vector<double> offsets = {0};
  for (const std::int64_t rows : load)
    offsets.push_back(offsets.back() + static_cast<double>(rows));
  return integer_buffer(DType::i64, {std::ssize(offsets)}, offsets);
}

OpCase grouped_case(DType compute,
                    const std::vector<std::int64_t>& load,
                    Product p,
                    bool transpose) {
  CaseBuilder b(
      "grouped_matmul",
      fmt::format("load {} n {} k {}{}", fmt::join(load, " "), p.n, p.k, transpose ? " t" : ""),
      compute);
  Buffer offsets = offsets_of(load);
  const auto rows = static_cast<std::int64_t>(offsets.get(offsets.size() - 1));
  const auto experts = std::ssize(load);
  b.in(b.normal_c({rows, p.k}));
  b.in(transpose ? b.normal_c({experts, p.n, p.k}) : b.normal_c({experts, p.k, p.n}));
  b.in(std::move(offsets)).out(b.blank_c({rows, p.n}));
  return b.finish(static_cast<double>(p.k),
                  [transpose](const OpTable& ops, const Context& context, const Views& v) {
                    ops.grouped_matmul(context, v[0], v[1], v[2], v[3], transpose);
                  });
}

OpCase grouped_weight_case(DType compute,
                           const std::vector<std::int64_t>& load,
                           Product p,
                           bool accumulate) {
  CaseBuilder b("grouped_matmul_weight",
                fmt::format("load {} n {} k {}{}", fmt::join(load, " "), p.n, p.k,
                            accumulate ? " added" : ""),
                compute);
  Buffer offsets = offsets_of(load);
  const auto rows = static_cast<std::int64_t>(offsets.get(offsets.size() - 1));
  b.in(b.normal_c({rows, p.n})).in(b.normal_c({rows, p.k})).in(std::move(offsets));
  b.out(b.normal_a({std::ssize(load), p.n, p.k}));
  return b.finish(static_cast<double>(rows + 1),
                  [accumulate](const OpTable& ops, const Context& context, const Views& v) {
                    ops.grouped_matmul_weight(context, v[0], v[1], v[2], v[3], accumulate);
                  });
}

}  // namespace

std::vector<OpCase> product_cases(DType compute) {
  std::vector<OpCase> cases;
  const std::vector<Product> shapes = {{1, 1, 1},      {1, 77, 130},  {5, 3, 7},     {13, 33, 1},
                                       {64, 48, 32},   {97, 129, 65}, {2, 200, 515}, {31, 16, 0},
                                       {150, 70, 300}, {24, 1000, 40}};
  const DType wide = accumulate_dtype(compute);
  for (const Product& shape : shapes) {
    for (const bool transpose_a : {false, true}) {
      for (const bool transpose_b : {false, true}) {
        for (const bool accumulate : {false, true}) {
          const MatmulOptions options{transpose_a, transpose_b, accumulate};
          cases.push_back(matmul_case(compute, shape, options, wide, 0));
          if (compute == DType::bf16)
            cases.push_back(matmul_case(compute, shape, options, compute, 0));
        }
      }
    }
  }
  cases.push_back(matmul_case(compute, {33, 65, 40}, {}, compute, 3));
  cases.push_back(matmul_case(compute, {33, 65, 40}, {true, true, true}, wide, 5));
  if (compute != DType::f64) {
    // Several blocks of K; tasks that pack columns, and tasks that pack rows, several for each
    // worker.
    cases.push_back(matmul_case(compute, {40, 50, 1300}, {.transpose_b = true}, compute, 0));
    cases.push_back(matmul_case(compute, {33, 530, 8300}, {}, compute, 0));
    cases.push_back(matmul_case(compute, {600, 33, 4200}, {true, false, true}, wide, 0));
    cases.push_back(matmul_case(compute, {50, 70, 2200}, {false, true, true}, compute, 3));
    // K so long that its blocks are packed and multiplied some at a time.
    cases.push_back(matmul_case(compute, {24, 34, 120000}, {.accumulate = true}, compute, 2));
  }
  cases.push_back(matmul_case(compute, {0, 5, 4}, {}, compute, 0));
  cases.push_back(matmul_case(compute, {5, 0, 4}, {}, compute, 0));
  for (const auto& load : kLoads) {
    for (const Product& p : {Product{0, 48, 32}, Product{0, 37, 19}}) {
      cases.push_back(grouped_case(compute, load, p, true));
      cases.push_back(grouped_case(compute, load, p, false));
      for (const bool accumulate : {false, true})
        cases.push_back(grouped_weight_case(compute, load, p, accumulate));
    }
  }
  if (compute == DType::bf16) {  // f32 activations with bf16 weights, and the reverse
    for (const bool transpose_b : {false, true}) {
      for (const std::size_t which : {std::size_t{0}, std::size_t{1}}) {
        OpCase mixed =
            matmul_case(compute, {45, 67, 89}, {false, transpose_b, false}, DType::f32, 0);
        mixed.name += which == 0 ? " f32 a" : " f32 b";
        mixed.arguments[which] = mixed.arguments[which].converted(DType::f32);
        cases.push_back(std::move(mixed));
      }
    }
  }
  return cases;
}

}  // namespace tera::kernels::test
