// The loops of a DotTile (dot_kernel.h) over the vectors V of one instruction set. Included inside
// the namespace and the target region of each user: no guard, and nothing but templates.
//
// V has: Sum, a vector of sums; Left and Right, the element types; kWidth, positions per step;
// kRows x kCols sums that fit the registers; load(p, count), `count` positions from p on and zeros
// behind them; add_product(sum, left, right); total(sum).

// kAhead: asks for the columns behind these on the way, which the processor would not guess at the
// start of each: products of few rows wait for memory alone.
template <class V, int kRows, int kCols, bool kAhead>
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
      if constexpr (kAhead) {
        constexpr int kSecondLevel = 2;
        __builtin_prefetch(b + (kCols + j) * b_stride + p, 0, kSecondLevel);
      }
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

// A few columns of b: at most kCols.
template <class V>
struct DotColumns {
  const typename V::Right* b;
  std::int64_t b_stride;
  std::int64_t cols;
  std::int64_t k;
  std::int64_t c_stride;

  template <int kRows, bool kAhead>
  void multiply(const typename V::Left* a, std::int64_t a_stride, float* c) const {
    if (cols == V::kCols)
      return dot_products<V, kRows, V::kCols, kAhead>(a, a_stride, b, b_stride, k, c, c_stride);
    for (std::int64_t j = 0; j < cols; ++j) {
      dot_products<V, kRows, 1, false>(a, a_stride, b + j * b_stride, b_stride, k, c + j, c_stride);
    }
  }
};

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
    const DotColumns<V> columns{right + j * b.stride, b.stride, n, k, cols};
    float* to = c + j;
    std::int64_t i = 0;
    if (rows >= V::kRows) {
      columns.template multiply<V::kRows, true>(left, a.stride, to);
      i = V::kRows;
    } else {
      columns.template multiply<1, true>(left, a.stride, to);
      i = 1;
    }
    for (; i + V::kRows <= rows; i += V::kRows)
      columns.template multiply<V::kRows, false>(left + i * a.stride, a.stride, to + i * cols);
    for (; i < rows; ++i)
      columns.template multiply<1, false>(left + i * a.stride, a.stride, to + i * cols);
  }
}
