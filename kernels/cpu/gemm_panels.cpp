#include "kernels/cpu/gemm_panels.h"

#include <cstddef>

namespace tera::kernels::cpu {
namespace {

constexpr std::int64_t kBlockUnits = 512;  // K of one panel
constexpr std::int64_t kPanelPad = 16;     // a pack writes up to 15 units beyond its panel
constexpr std::int64_t kLineBytes = 64;

}  // namespace

KBlocks::KBlocks(std::int64_t k_size, const GemmKernel& kernel)
    : k(k_size), unit_elements(kernel.unit_elements) {
  const std::int64_t units = ceil_div(k, unit_elements);
  const std::int64_t blocks = std::max<std::int64_t>(1, ceil_div(units, kBlockUnits));
  units_per_block = ceil_div(ceil_div(units, blocks), 4) * 4;
  count = units_per_block == 0 ? 0 : ceil_div(units, units_per_block);
}

Panels row_panels(const Operand& rows, const GemmKernel& kernel, const KBlocks& blocks) {
  const std::int64_t height = ceil_div(rows.count, ceil_div(rows.count, kernel.mr));
  const std::int64_t stride = ceil_div(height * blocks.units_per_block + kPanelPad, 16) * 16;
  return {&rows, height, stride, false};
}

Panels column_panels(const Operand& columns, const GemmKernel& kernel, const KBlocks& blocks) {
  // One unit apart, or panels of a power of two would meet in the same sets of the cache.
  return {&columns, kernel.nr, kernel.nr * (blocks.units_per_block + 1), true};
}

void pack_panels(
    const GemmKernel& kernel, const Panels& panels, Range which, Range k, std::uint32_t* to) {
  const auto pack = [&](Range part, std::int64_t width) {
    const Range vectors = panels.vectors(part);
    kernel.pack(*panels.operand, {vectors.begin, vectors.size(), k.begin, k.end}, width,
                panels.stride, to + (part.begin - which.begin) * panels.stride);
  };
  const std::int64_t full =
      panels.padded ? which.end : std::min(which.end, panels.operand->count / panels.width);
  if (which.begin < full) pack({which.begin, full}, panels.width);
  if (full < which.end) pack({std::max(which.begin, full), which.end}, panels.size(which.end - 1));
}

PanelsAhead::PanelsAhead(
    const Panels& panels, Range which, Range k, std::int64_t calls, std::int64_t units)
    : units_(units) {
  const Operand& operand = *panels.operand;
  const std::int64_t element = dtype_bytes(operand.dtype);
  const Range vectors = panels.vectors(which);
  stride_ = operand.stride * element;
  base_ = static_cast<const std::byte*>(operand.data);
  if (operand.contiguous_k) {
    base_ += vectors.begin * stride_ + k.begin * element;
    rows_ = vectors.size();
    columns_ = ceil_div(k.size() * element, kLineBytes);
  } else {
    base_ += k.begin * stride_ + vectors.begin * element;
    rows_ = k.size();
    columns_ = ceil_div(vectors.size() * element, kLineBytes);
  }
  waiting_ = calls - columns_ * ceil_div(rows_, units_);
}

LinesAhead PanelsAhead::next() {
  if (waiting_-- > 0 || column_ == columns_) return {};
  const LinesAhead ahead{base_ + row_ * stride_ + column_ * kLineBytes, stride_,
                         std::min(units_, rows_ - row_)};
  row_ += ahead.count;
  if (row_ == rows_) {
    row_ = 0;
    ++column_;
  }
  return ahead;
}

}  // namespace tera::kernels::cpu
