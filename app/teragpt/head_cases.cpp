// What runs over the heads of queries and keys: rotary positions, norms with them, and the sum over
// heads that a key shared by all of them has as its gradient (latent attention).
#include <cmath>
#include <memory>
#include <utility>

#include <fmt/format.h>

#include "app/teragpt/case_builders.h"
#include "kernels/qk_norm_steps.h"

namespace tera::app {
namespace {

// Positions 0, 1, ... and the frequencies of all dims of a head.
struct Turns {
  Tensor positions, frequencies;

  Turns(Backend& b, std::int64_t tokens, std::int64_t width)
      : positions(zeros(b, DType::i32, {tokens})), frequencies(zeros(b, DType::f64, {width / 2})) {
    for (std::int64_t t = 0; t < tokens; ++t)
      positions.data<std::int32_t>()[t] = static_cast<std::int32_t>(t);
    for (std::int64_t i = 0; i < width / 2; ++i) {
      frequencies.data<double>()[i] =
          std::pow(10000.0, -2.0 * static_cast<double>(i) / static_cast<double>(width));
    }
  }
};

std::string text_of(DType dtype, const Shape& heads) {
  return fmt::format("{}/{}x{}x{}", dtype_name(dtype), heads[0], heads[1], heads[2]);
}

void add_heads(Cases& cases, DType dtype, const Shape& heads) {
  const double size = bytes_of(dtype, heads);
  for (const bool backward : {false, true}) {
    cases.push_back({(backward ? "rotary/backward/" : "rotary/forward/") + text_of(dtype, heads),
                     dtype, OpWork{.bytes = 2 * size + bytes_of(DType::i32, {heads[0]})},
                     [=](Backend& b) -> Call {
                       const Tensor x = random(b, dtype, heads), y = zeros(b, dtype, heads);
                       const Turns turns(b, heads[0], heads[2]);
                       return [=, &b] {
                         b.ops().rotary(b.context(), x, turns.positions, turns.frequencies,
                                        {.transpose = backward}, y);
                       };
                     }});
  }
  const Shape sum = {heads[0], heads[2]};
  cases.push_back({"sum_heads/" + text_of(dtype, heads), dtype,
                   OpWork{.bytes = size + bytes_of(dtype, sum)}, [=](Backend& b) -> Call {
                     const Tensor x = random(b, dtype, heads), y = zeros(b, dtype, sum);
                     return [=, &b] { b.ops().sum_heads(b.context(), x, y); };
                   }});
}

// Norms of each head, or of all heads of a token, and beside them the ops one after the other that
// they replace.
void add_qk_norms(Cases& cases, DType dtype, const Shape& heads, bool per_head) {
  const Shape norms = per_head ? Shape{heads[0] * heads[1]} : Shape{heads[0]};
  const Shape weight = {per_head ? heads[2] : heads[1] * heads[2]};
  const auto add = [&](const char* pass, int passes, const auto& call_of) {
    const double bytes = passes * bytes_of(dtype, heads) + bytes_of(DType::f32, norms);
    const auto one = [&](bool fused) {
      return OpCase{fmt::format("qk_norm{}{}/{}/{}", per_head ? "" : "_wide", fused ? "" : "_steps",
                                pass, text_of(dtype, heads)),
                    dtype, OpWork{.bytes = bytes},
                    [=](Backend& b) -> Call { return call_of(b, fused); }};
    };
    OpCase fused = one(true);
    fused.beside = std::make_shared<const OpCase>(one(false));
    cases.push_back(std::move(fused));
  };
  add("forward", 3, [=](Backend& b, bool fused) -> Call {
    const Tensor x = random(b, dtype, heads), w = random(b, dtype, weight);
    const Tensor raw = zeros(b, dtype, heads), y = zeros(b, dtype, heads);
    const Tensor rstd = ones(b, norms[0]);
    const Turns turns(b, heads[0], heads[2]);
    if (fused) {
      return [=, &b] {
        b.ops().qk_norm_forward(b.context(), x, w, 1e-5, turns.positions, turns.frequencies, {},
                                raw, y, rstd);
      };
    }
    return [=, &b] {
      kernels::qk_norm_forward_steps(b.ops(), b.context(), x, w, 1e-5, turns.positions,
                                     turns.frequencies, {}, raw, y, rstd);
    };
  });
  add("input", 4, [=](Backend& b, bool fused) -> Call {
    const Tensor dy = random(b, dtype, heads), raw = random(b, dtype, heads);
    const Tensor w = random(b, dtype, weight), rstd = ones(b, norms[0]);
    const Tensor d_norm = zeros(b, dtype, heads), dx = zeros(b, dtype, heads);
    const Tensor room = fused ? Tensor() : zeros(b, dtype, heads);
    const Turns turns(b, heads[0], heads[2]);
    if (fused) {
      return [=, &b] {
        b.ops().qk_norm_backward_input(b.context(), dy, raw, w, rstd, turns.positions,
                                       turns.frequencies, {}, d_norm, dx);
      };
    }
    return [=, &b] {
      kernels::qk_norm_backward_input_steps(b.ops(), b.context(), dy, raw, w, rstd, turns.positions,
                                            turns.frequencies, {}, d_norm, dx, room);
    };
  });
}

}  // namespace

// Heads of gpt2-124m, 4 x 256 tokens.
Cases head_cases() {
  const Shape heads = {1024, 12, 64};
  Cases cases;
  for (const DType dtype : kComputeDtypes) {
    add_heads(cases, dtype, heads);
    for (const bool per_head : {true, false})
      add_qk_norms(cases, dtype, heads, per_head);
  }
  return cases;
}

}  // namespace tera::app
