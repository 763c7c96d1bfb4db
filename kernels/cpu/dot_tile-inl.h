// The loops of a DotTile (dot_kernel.h) over the vectors V of one instruction set. Included inside
// the namespace and the target region of each user: no guard, and nothing but templates.
//
// V has: Sum, a vector of sums; Left and Right, the element types; kWidth, positions per step;
// kRows x kCols sums that fit the registers; load(p, count), `count` positions from p on and zeros
// behind them; add_product(sum, left, right); total(sum).

template <class V, int kRows, int kCols>
void dot_products(const typename V::Left* a,
                  std::int64_t a_stride,
                  const typename V::Right* b,
                  std::int64_t b_stride,
                  std::int64_t k,
                  float* c,
                  std::int64_t c_stride) {
  typename V::Sum sums[kRows][kCols];
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < kCols; ++j)
      sums[i][j] = V::zero();
  }
  const auto step = [&](std::int64_t p, std::int64_t count) __attribute__((always_inline)) {
    decltype(V::load(a, count)) left[kRows];
#pragma GCC unroll 8
    for (int i = 0; i < kRows; ++i)
      left[i] = V::load(a + i * a_stride + p, count);
#pragma GCC unroll 8
    for (int j = 0; j < kCols; ++j) {
      const auto right = V::load(b + j * b_stride + p, count);
#pragma GCC unroll 8
      for (int i = 0; i < kRows; ++i)
        sums[i][j] = V::add_product(sums[i][j], left[i], right);
    }
  };
  std::int64_t p = 0;
  for (; p + V::kWidth <= k; p += V::kWidth)
    step(p, V::kWidth);
  if (p < k) step(p, k - p);
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < kCols; ++j)
      c[i * c_stride + j] = V::total(sums[i][j]);
  }
}

// At most kCols columns.
template <class V, int kRows>
void dot_columns(const typename V::Left* a,
                 std::int64_t a_stride,
                 const typename V::Right* b,
                 std::int64_t b_stride,
                 std::int64_t cols,
                 std::int64_t k,
                 float* c,
                 std::int64_t c_stride) {
  if (cols == V::kCols)
    return dot_products<V, kRows, V::kCols>(a, a_stride, b, b_stride, k, c, c_stride);
  for (std::int64_t j = 0; j < cols; ++j)
    dot_products<V, kRows, 1>(a, a_stride, b + j * b_stride, b_stride, k, c + j, c_stride);
}

// A few columns at a time against all rows, while they are in the first-level cache.
template <class V>
void dot_tile(const Operand& a,
              std::int64_t first_a,
              std::int64_t rows,
              const Operand& b,
              std::int64_t first_b,
              std::int64_t cols,
              std::int64_t k,
              float* c) {
  const auto* left = static_cast<const typename V::Left*>(a.data) + first_a * a.stride;
  const auto* right = static_cast<const typename V::Right*>(b.data) + first_b * b.stride;
  for (std::int64_t j = 0; j < cols; j += V::kCols) {
    const std::int64_t n = std::min<std::int64_t>(V::kCols, cols - j);
    std::int64_t i = 0;
    for (; i + V::kRows <= rows; i += V::kRows) {
      dot_columns<V, V::kRows>(left + i * a.stride, a.stride, right + j * b.stride, b.stride, n, k,
                               c + i * cols + j, cols);
    }
    for (; i < rows; ++i) {
      dot_columns<V, 1>(left + i * a.stride, a.stride, right + j * b.stride, b.stride, n, k,
                        c + i * cols + j, cols);
    }
  }
}
