#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/attention_tiles.cpp"
#include "kernels/cpu/attention_tiles.h"

#include <limits>

#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/cpu/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace tera::kernels::cpu::HWY_NAMESPACE {
namespace {

constexpr std::int64_t kColumns = 2 * kWidth;
constexpr float kLowest = -std::numeric_limits<float>::infinity();
using I32 = hn::RebindToSigned<F32>;

// Lanes of the queries from `column` on that do not see key `key`.
HWY_INLINE auto hidden(const TileMask& mask, std::int64_t key, std::int64_t column) {
  const I32 d;
  const auto j = hn::Set(d, static_cast<std::int32_t>(key));
  const auto first = hn::LoadU(d, mask.first + column);
  const auto last = hn::LoadU(d, mask.last + column);
  return hn::RebindMask(F32(), hn::Or(hn::Lt(j, first), hn::Gt(j, last)));
}

// Scores of one vector of products, and with a soft cap their slopes.
template <bool kCapped>
class Scorer {
 public:
  explicit Scorer(const ScoreScale& scale)
      : scale_(hn::Set(F32(), scale.scale)),
        cap_(hn::Set(F32(), scale.softcap)),
        inverse_(hn::Set(F32(), kCapped ? scale.scale / scale.softcap : 0.0F)) {}

  HWY_INLINE VF score(VF product) const {
    if constexpr (kCapped) return hn::Mul(cap_, tanh(hn::Mul(product, inverse_)));
    return hn::Mul(product, scale_);
  }
  struct Shifted {
    VF score;  // less `shift`
    VF slope;  // d score / d product
  };
  HWY_INLINE Shifted shifted(VF product, VF shift) const {
    if constexpr (kCapped) {
      const VF t = tanh(hn::Mul(product, inverse_));
      return {hn::MulSub(cap_, t, shift),
              hn::Mul(scale_, hn::NegMulAdd(t, t, hn::Set(F32(), 1.0F)))};
    }
    return {hn::MulSub(product, scale_, shift), scale_};
  }

 private:
  VF scale_, cap_, inverse_;
};

template <bool kCapped>
void softmax_tile(float* scores,
                  std::int64_t keys,
                  const TileMask& mask,
                  const Scorer<kCapped>& scorer,
                  float* highest,
                  float* sum,
                  float* factor) {
  const F32 d;
  const bool recomputed = mask.everything && !kCapped;  // a product is cheaper than a store
  const VF lowest = hn::Set(d, kLowest);
  for (std::int64_t c = 0; c < kColumns; c += kWidth) {
    const VF before = load(highest + c);
    VF top = before;
    for (std::int64_t j = 0; j < keys; ++j) {
      float* at = scores + j * kColumns + c;
      VF score = scorer.score(load(at));
      if (!mask.everything) score = hn::IfThenElse(hidden(mask, mask.key + j, c), lowest, score);
      if (!recomputed) store(score, at);
      top = hn::Max(top, score);
    }
    // A query that has seen nothing yet keeps highest -inf; 0 stands in so that -inf - -inf never
    // is.
    const VF base = hn::IfThenElse(hn::Eq(top, lowest), hn::Zero(d), top);
    VF total = hn::Zero(d);
    for (std::int64_t j = 0; j < keys; ++j) {
      float* at = scores + j * kColumns + c;
      const VF score = recomputed ? scorer.score(load(at)) : load(at);
      const VF p = exp_nonpositive(hn::Sub(score, base));
      total = hn::Add(total, p);
      store(p, at);
    }
    const VF shrink = exp_nonpositive(hn::Sub(before, base));
    store(top, highest + c);
    store(hn::MulAdd(load(sum + c), shrink, total), sum + c);
    store(shrink, factor + c);
  }
}

template <bool kCapped>
void backward_tile(float* scores,
                   float* grads,
                   std::int64_t keys,
                   const TileMask& mask,
                   const Scorer<kCapped>& scorer,
                   const float* lse,
                   const float* delta) {
  for (std::int64_t c = 0; c < kColumns; c += kWidth) {
    const VF vlse = load(lse + c);
    const VF vdelta = load(delta + c);
    for (std::int64_t j = 0; j < keys; ++j) {
      const std::int64_t at = j * kColumns + c;
      const auto at_product = scorer.shifted(load(scores + at), vlse);
      VF p = exp_nonpositive(at_product.score);
      VF grad = hn::Mul(hn::Mul(p, at_product.slope), hn::Sub(load(grads + at), vdelta));
      if (!mask.everything) {
        const auto unseen = hidden(mask, mask.key + j, c);
        p = hn::IfThenZeroElse(unseen, p);
        grad = hn::IfThenZeroElse(unseen, grad);
      }
      store(p, scores + at);
      store(grad, grads + at);
    }
  }
}

void softmax(float* scores,
             std::int64_t keys,
             const TileMask& mask,
             const ScoreScale& scale,
             float* highest,
             float* sum,
             float* factor) {
  if (scale.softcap > 0)
    return softmax_tile<true>(scores, keys, mask, Scorer<true>(scale), highest, sum, factor);
  softmax_tile<false>(scores, keys, mask, Scorer<false>(scale), highest, sum, factor);
}

void backward(float* scores,
              float* grads,
              std::int64_t keys,
              const TileMask& mask,
              const ScoreScale& scale,
              const float* lse,
              const float* delta) {
  if (scale.softcap > 0)
    return backward_tile<true>(scores, grads, keys, mask, Scorer<true>(scale), lse, delta);
  backward_tile<false>(scores, grads, keys, mask, Scorer<false>(scale), lse, delta);
}

void scale_rows(float* rows, std::int64_t n, const float* factor) {
  const VF left = load(factor);
  const VF right = load(factor + kWidth);
  for (std::int64_t i = 0; i < n; ++i) {
    float* at = rows + i * kColumns;
    store(hn::Mul(load(at), left), at);
    store(hn::Mul(load(at + kWidth), right), at + kWidth);
  }
}

template <class T>
float dot(const T* a, const T* b, std::int64_t n) {
  VF sum = hn::Zero(F32());
  for_vectors(n, [&](std::int64_t i, std::int64_t count) {
    sum = hn::MulAdd(load_n(a + i, count), load_n(b + i, count), sum);
  });
  return sum_lanes(sum);
}

template <class T>
bool finite(const T* x, std::int64_t n) {
  VF sum = hn::Zero(F32());  // of products with 0: NaN as soon as one is not finite
  for_vectors(n, [&](std::int64_t i, std::int64_t count) {
    sum = hn::MulAdd(load_n(x + i, count), hn::Zero(F32()), sum);
  });
  return sum_lanes(sum) == 0;
}

template <class T>
void add(float p, const T* v, float* sum, std::int64_t n) {
  const VF factor = hn::Set(F32(), p);
  for_vectors(n, [&](std::int64_t i, std::int64_t count) {
    store_n(hn::MulAdd(factor, load_n(v + i, count), load_n(sum + i, count)), sum + i, count);
  });
}

float softmax_row(float* scores, std::int64_t n, float highest) {
  const F32 d;
  const VF top = hn::Set(d, highest);
  VF sum = hn::Zero(d);
  for_vectors(n, [&](std::int64_t i, std::int64_t count) {
    const VF p = exp_nonpositive(hn::Sub(load_n(scores + i, count), top));
    store_n(p, scores + i, count);
    sum = hn::Add(sum, hn::IfThenElseZero(hn::FirstN(d, static_cast<std::size_t>(count)), p));
  });
  return sum_lanes(sum);
}

}  // namespace

const AttentionTiles& tiles() {
  static constexpr AttentionTiles kTiles = {kColumns,   softmax,   backward,      scale_rows,
                                            dot<float>, dot<Bf16>, finite<float>, finite<Bf16>,
                                            add<float>, add<Bf16>, softmax_row};
  return kTiles;
}

}  // namespace tera::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tera::kernels::cpu {

HWY_EXPORT(tiles);

const AttentionTiles& attention_tiles() {
  return HWY_DYNAMIC_DISPATCH(tiles)();
}

}  // namespace tera::kernels::cpu
#endif
