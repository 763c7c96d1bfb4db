// The elementwise parts of attention on tiles [keys, columns] whose columns are queries: one query
// per vector lane, so that maxima and sums over keys need no work across lanes.
#pragma once
#include <cstdint>

#include "kernels/bf16.h"

namespace tera::kernels::cpu {

// What the queries of a tile see: key j when first[q] <= j <= last[q]; columns without a query see
// nothing. `key` is the key of the tile's row 0.
struct TileMask {
  const std::int32_t* first;
  const std::int32_t* last;
  std::int64_t key;
  bool everything;  // no key of the tile is hidden from any query
};

// From the product q . k to the score: scale times it, with a softcap c > 0 c tanh of that over c.
struct ScoreScale {
  float scale;
  float softcap;
};

struct AttentionTiles {
  std::int64_t columns;  // queries per tile: nr of the GEMM kernels
  // Products become p = exp(score - highest), 0 where the mask hides the key, whatever stood there;
  // highest and sum are brought up to date, factor is what earlier results must be multiplied with.
  void (*softmax)(float* scores,
                  std::int64_t keys,
                  const TileMask& mask,
                  const ScoreScale& scale,
                  float* highest,
                  float* sum,
                  float* factor);
  // Products become p = exp(score - lse), grads (dout . v) the gradients at the products,
  // p (grad - delta) d score / d product; both are 0 where the mask hides the key, whatever stood
  // there.
  void (*backward)(float* scores,
                   float* grads,
                   std::int64_t keys,
                   const TileMask& mask,
                   const ScoreScale& scale,
                   const float* lse,
                   const float* delta);
  // rows [n, columns] *= factor [columns].
  void (*scale_rows)(float* rows, std::int64_t n, const float* factor);
  float (*dot_f32)(const float* a, const float* b, std::int64_t n);
  float (*dot_bf16)(const Bf16* a, const Bf16* b, std::int64_t n);
  // Neither NaN nor infinity among x [n].
  bool (*finite_f32)(const float* x, std::int64_t n);
  bool (*finite_bf16)(const Bf16* x, std::int64_t n);
  // sum += p v.
  void (*add_f32)(float p, const float* v, float* sum, std::int64_t n);
  void (*add_bf16)(float p, const Bf16* v, float* sum, std::int64_t n);
  // scores [n] become exp(scores - highest); returns their sum.
  float (*softmax_row)(float* scores, std::int64_t n, float highest);
};

const AttentionTiles& attention_tiles();

}  // namespace tera::kernels::cpu
