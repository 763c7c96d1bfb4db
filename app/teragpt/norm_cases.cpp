// Norms, and beside those that do more than a norm the ops one after the other that they replace.
// Shapes of gpt2-124m, 4 x 256 tokens: hidden 768.
#include <memory>
#include <utility>

#include <fmt/format.h>

#include "app/teragpt/case_builders.h"

namespace tera::app {
namespace {

using kernels::NormType;

struct NormArguments {
  Tensor x, y, w, rstd, mean;

  NormArguments(Backend& b, DType dtype, const Shape& rows)
      : x(random(b, dtype, rows)),
        y(random(b, dtype, rows)),
        w(random(b, dtype, {rows[1]})),
        rstd(ones(b, rows[0])),
        mean(ones(b, rows[0])) {}
};

std::string name_of(NormType type) {
  return type == NormType::rms ? "rms_norm" : "layer_norm";
}

void add_norms(Cases& cases, NormType type, DType dtype, const Shape& rows) {
  const double size = bytes_of(dtype, rows);
  const std::string shape = fmt::format("{}/{}x{}", dtype_name(dtype), rows[0], rows[1]);
  const auto add = [&](const char* pass, double bytes, const auto& call_of) {
    cases.push_back({fmt::format("{}/{}/{}", name_of(type), pass, shape), dtype,
                     OpWork{.bytes = bytes}, call_of});
  };
  add("forward", 2 * size, [=](Backend& b) -> Call {
    const NormArguments a(b, dtype, rows);
    return [=, &b] {
      b.ops().norm_forward(b.context(), type, a.x, {}, a.w, {}, 1e-5, {}, a.y, a.rstd, a.mean);
    };
  });
  add("input", 3 * size, [=](Backend& b) -> Call {
    const NormArguments a(b, dtype, rows);
    const Tensor dx = zeros(b, dtype, rows);
    return [=, &b] {
      b.ops().norm_backward_input(b.context(), type, a.y, a.x, a.w, a.rstd, a.mean, {}, dx);
    };
  });
  add("weight", 2 * size, [=](Backend& b) -> Call {
    const NormArguments a(b, dtype, rows);
    const Tensor dw = zeros(b, DType::f32, {rows[1]});
    const Tensor db = type == NormType::layer ? zeros(b, DType::f32, {rows[1]}) : Tensor();
    return [=, &b] {
      b.ops().norm_backward_weight(b.context(), type, a.y, a.x, a.rstd, a.mean, dw, db);
    };
  });
}

// The norm that reads the residual stream, with the sum that makes it, and its gradient with that
// of the stream that goes on.
void add_stream_norms(Cases& cases, NormType type, DType dtype, const Shape& rows) {
  const double size = bytes_of(dtype, rows);
  const auto add = [&](const char* pass, const auto& call_of) {
    const auto one = [&](bool fused, double bytes) {
      return OpCase{fmt::format("{}_stream{}/{}/{}/{}x{}", name_of(type), fused ? "" : "_steps",
                                pass, dtype_name(dtype), rows[0], rows[1]),
                    dtype, OpWork{.bytes = bytes},
                    [=](Backend& b) -> Call { return call_of(b, fused); }};
    };
    OpCase fused = one(true, 4 * size);
    fused.beside = std::make_shared<const OpCase>(one(false, 4 * size));
    cases.push_back(std::move(fused));
  };
  add("forward", [=](Backend& b, bool fused) -> Call {
    const NormArguments a(b, dtype, rows);
    const Tensor branch = random(b, dtype, rows), sum = zeros(b, dtype, rows);
    if (fused) {
      return [=, &b] {
        b.ops().norm_forward(b.context(), type, a.x, branch, a.w, {}, 1e-5, sum, a.y, a.rstd,
                             a.mean);
      };
    }
    return [=, &b] {
      b.ops().add(b.context(), a.x, branch, sum);
      b.ops().norm_forward(b.context(), type, sum, {}, a.w, {}, 1e-5, {}, a.y, a.rstd, a.mean);
    };
  });
  add("input", [=](Backend& b, bool fused) -> Call {
    const NormArguments a(b, dtype, rows);
    const Tensor d_stream = random(b, dtype, rows), dx = zeros(b, dtype, rows);
    if (fused) {
      return [=, &b] {
        b.ops().norm_backward_input(b.context(), type, a.y, a.x, a.w, a.rstd, a.mean, d_stream, dx);
      };
    }
    return [=, &b] {
      b.ops().norm_backward_input(b.context(), type, a.y, a.x, a.w, a.rstd, a.mean, {}, dx);
      b.ops().add(b.context(), dx, d_stream, dx);
    };
  });
}

// Steps of a norm over rows that ranks share out.
void add_row_parts(Cases& cases, DType dtype, const Shape& rows) {
  const double size = bytes_of(dtype, rows);
  const std::string shape = fmt::format("{}/{}x{}", dtype_name(dtype), rows[0], rows[1]);
  cases.push_back({"dot_rows/" + shape, dtype, OpWork{.bytes = 2 * size}, [=](Backend& b) -> Call {
                     const NormArguments a(b, dtype, rows);
                     return [=, &b] { b.ops().dot_rows(b.context(), a.x, a.y, a.w, a.rstd); };
                   }});
  cases.push_back(
      {"scale_rows/" + shape, dtype, OpWork{.bytes = 3 * size}, [=](Backend& b) -> Call {
         const NormArguments a(b, dtype, rows);
         const Tensor z = zeros(b, dtype, rows);
         return [=, &b] { b.ops().scale_rows(b.context(), a.x, a.w, a.rstd, a.y, a.mean, z); };
       }});
}

}  // namespace

Cases norm_cases() {
  constexpr std::int64_t kTokens = 1024;
  Cases cases;
  for (const DType dtype : kComputeDtypes) {
    add_row_parts(cases, dtype, {kTokens, 768});
    for (const NormType type : {NormType::rms, NormType::layer}) {
      add_norms(cases, type, dtype, {kTokens, 3072});
      add_stream_norms(cases, type, dtype, {kTokens, 768});
    }
  }
  return cases;
}

}  // namespace tera::app
