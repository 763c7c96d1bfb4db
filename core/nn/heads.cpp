#include "core/nn/heads.h"

namespace tera::nn {

kernels::View as_heads(const Tensor& rows, std::int64_t head_dim) {
  kernels::View view = rows.view();
  view.rank = 3;
  view.shape = {view.shape[0], view.shape[1] / head_dim, head_dim, 1};
  view.strides = {view.strides[0], head_dim, 1, 0};
  return view;
}

kernels::View as_sequences(const kernels::View& heads, const Batch& batch) {
  kernels::View view = heads;
  view.rank = 4;
  view.shape = {batch.batch_size, batch.seq_length, heads.shape[1], heads.shape[2]};
  view.strides = {heads.strides[0] * batch.seq_length, heads.strides[0], heads.strides[1], 1};
  return view;
}

kernels::View head_rows(const Tensor& heads,
                        std::int64_t h,
                        std::int64_t first,
                        std::int64_t count) {
  kernels::View view = heads.slice(1, h, h + 1).slice(2, first, first + count).view();
  view.rank = 2;
  view.shape = {view.shape[0], count, 1, 1};
  view.strides = {view.strides[0], 1, 0, 0};
  return view;
}

Tensor flat(const Tensor& heads) {
  return heads.reshape({heads.dim(0), heads.dim(1) * heads.dim(2)});
}

}  // namespace tera::nn
