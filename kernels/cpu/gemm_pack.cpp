// Panels with Highway: one compilation per instruction set, chosen at run time.
//
// Packing moves 32-bit units. Vectors contiguous along K are transposed in blocks of 4 x 4 inside
// 128-bit registers, one cache line of each vector at a time; vectors that lie side by side are
// copied.
#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/gemm_pack.cpp"
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstring>

#include <hwy/cache_control.h>
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include "kernels/bf16.h"
#include "kernels/cpu/gemm_kernel.h"

HWY_BEFORE_NAMESPACE();
namespace tera::kernels::cpu::HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

using Units4 = hn::Simd<std::uint32_t, 4, 0>;
using Halves4 = hn::Simd<std::uint16_t, 4, 0>;
using V4 = hn::Vec<Units4>;
using UnitsWide = hn::ScalableTag<std::uint32_t>;
constexpr auto kWide = static_cast<std::int64_t>(hn::MaxLanes(UnitsWide()));
constexpr std::int64_t kLine = 16;       // units of a cache line
constexpr std::int64_t kLinesAhead = 2;  // of each vector, fetched before they are needed
constexpr std::int64_t kStreams = 16;    // vectors read at a time: the lines of a unit are whole
constexpr std::int64_t kUnitsAhead = 8;  // of vectors side by side

// ---- readers: units of one kind from one kind of memory

struct F32Source {
  using Element = float;
  static constexpr std::int64_t kUnit = 1;
  static V4 load4(const float* p) {
    return hn::LoadU(Units4(), reinterpret_cast<const std::uint32_t*>(p));
  }
  template <class D>
  static hn::Vec<D> side(D d, const float* p, std::int64_t, bool) {
    return hn::LoadU(d, reinterpret_cast<const std::uint32_t*>(p));
  }
  static std::uint32_t load1(const float* p, bool) {
    std::uint32_t unit;
    std::memcpy(&unit, p, sizeof(unit));
    return unit;
  }
  static std::uint32_t side1(const float* p, std::int64_t, bool) { return load1(p, false); }
};

// bf16 widened to f32.
struct WideSource {
  using Element = std::uint16_t;
  static constexpr std::int64_t kUnit = 1;
  static V4 load4(const std::uint16_t* p) {
    return hn::ShiftLeft<16>(hn::PromoteTo(Units4(), hn::LoadU(Halves4(), p)));
  }
  static std::uint32_t load1(const std::uint16_t* p, bool) {
    return static_cast<std::uint32_t>(*p) << 16U;
  }
  template <class D>
  static hn::Vec<D> side(D d, const std::uint16_t* p, std::int64_t, bool) {
    return hn::ShiftLeft<16>(hn::PromoteTo(d, hn::LoadU(hn::Rebind<std::uint16_t, D>(), p)));
  }
  static std::uint32_t side1(const std::uint16_t* p, std::int64_t, bool) { return load1(p, false); }
};

// Two bf16 per unit. `half` is set for the last position of an odd K.
struct PairSource {
  using Element = std::uint16_t;
  static constexpr std::int64_t kUnit = 2;
  static V4 load4(const std::uint16_t* p) {
    return hn::LoadU(Units4(), reinterpret_cast<const std::uint32_t*>(p));
  }
  static std::uint32_t load1(const std::uint16_t* p, bool half) {
    return p[0] | (half ? 0U : static_cast<std::uint32_t>(p[1]) << 16U);
  }
  template <class D>
  static hn::Vec<D> side(D d, const std::uint16_t* p, std::int64_t stride, bool half) {
    const hn::Rebind<std::uint16_t, D> dh;
    const hn::Vec<D> low = hn::PromoteTo(d, hn::LoadU(dh, p));
    if (half) return low;
    return hn::Or(low, hn::ShiftLeft<16>(hn::PromoteTo(d, hn::LoadU(dh, p + stride))));
  }
  static std::uint32_t side1(const std::uint16_t* p, std::int64_t stride, bool half) {
    return p[0] | (half ? 0U : static_cast<std::uint32_t>(p[stride]) << 16U);
  }
};

// Rows r0..r3 of four units become four groups of one unit each.
HWY_INLINE void transpose4(V4& r0, V4& r1, V4& r2, V4& r3) {
  const Units4 d;
  const hn::Simd<std::uint64_t, 2, 0> d64;
  const auto low01 = hn::BitCast(d64, hn::InterleaveLower(d, r0, r1));
  const auto low23 = hn::BitCast(d64, hn::InterleaveLower(d, r2, r3));
  const auto high01 = hn::BitCast(d64, hn::InterleaveUpper(d, r0, r1));
  const auto high23 = hn::BitCast(d64, hn::InterleaveUpper(d, r2, r3));
  r0 = hn::BitCast(d, hn::InterleaveLower(d64, low01, low23));
  r1 = hn::BitCast(d, hn::InterleaveUpper(d64, low01, low23));
  r2 = hn::BitCast(d, hn::InterleaveLower(d64, high01, high23));
  r3 = hn::BitCast(d, hn::InterleaveUpper(d64, high01, high23));
}

// Units [0, units) of four vectors into a panel; units is a multiple of four.
template <class Source>
HWY_NOINLINE void pack_four(const std::array<const typename Source::Element*, 4>& from,
                            std::int64_t units,
                            std::int64_t width,
                            std::uint32_t* HWY_RESTRICT to) {
  const auto [p0, p1, p2, p3] = from;
  const Units4 d;
  const std::int64_t elements = units * Source::kUnit;
  for (std::int64_t at = 0; at < elements; at += 4 * Source::kUnit, to += 4 * width) {
    V4 r0 = Source::load4(p0 + at);
    V4 r1 = Source::load4(p1 + at);
    V4 r2 = Source::load4(p2 + at);
    V4 r3 = Source::load4(p3 + at);
    transpose4(r0, r1, r2, r3);
    hn::StoreU(r0, d, to);
    hn::StoreU(r1, d, to + width);
    hn::StoreU(r2, d, to + 2 * width);
    hn::StoreU(r3, d, to + 3 * width);
  }
}

// Vectors contiguous along K, up to kStreams at a time over all of K: memory serves a few streams
// faster than many. Groups of four vectors are written from the last to the first: a group that
// sticks out of its unit writes into the next one, whose own groups come after it.
template <class Source>
void pack_contiguous(const Operand& operand,
                     const PanelRange& range,
                     std::int64_t width,
                     std::uint32_t* panel) {
  using Element = typename Source::Element;
  const auto* base = static_cast<const Element*>(operand.data) + range.k_begin;
  const auto vector_at = [&](std::int64_t i) {  // vectors that do not exist repeat the last one
    return base + (range.first + std::min(i, range.count - 1)) * operand.stride;
  };
  const std::int64_t length = range.k_end - range.k_begin;
  const std::int64_t full_units = length / Source::kUnit;
  const std::int64_t block_units = full_units / 4 * 4;
  const std::int64_t last_group = (width - 1) / 4 * 4;
  for (std::int64_t top = last_group; top >= 0; top = top / kStreams * kStreams - 4) {
    // A line of each: more streams than the processor's own prefetching follows. Near the end of
    // these vectors the ones that come after them are fetched, of this panel or the next.
    const std::int64_t bottom = top / kStreams * kStreams;
    const std::int64_t after = bottom > 0 ? -kStreams : width + last_group / kStreams * kStreams;
    const std::int64_t next = std::min(after, operand.count - 1 - range.first) * operand.stride;
    for (std::int64_t line = 0; line < block_units; line += kLine) {
      const std::int64_t units = std::min(kLine, block_units - line);
      const std::int64_t at = line * Source::kUnit;
      const bool last_lines = line + kLinesAhead * kLine >= block_units;
      const std::int64_t ahead =
          (kLinesAhead * kLine - (last_lines ? block_units : 0)) * Source::kUnit +
          (last_lines ? next : 0);
      for (std::int64_t i = top; i >= bottom; i -= 4) {
        const std::array<const Element*, 4> from = {vector_at(i) + at, vector_at(i + 1) + at,
                                                    vector_at(i + 2) + at, vector_at(i + 3) + at};
        for (const Element* p : from)
          hwy::Prefetch(p + ahead);
        pack_four<Source>(from, units, width, panel + line * width + i);
      }
    }
  }
  const std::int64_t units = (length + Source::kUnit - 1) / Source::kUnit;
  for (std::int64_t u = block_units; u < units; ++u) {
    for (std::int64_t i = 0; i < width; ++i)
      panel[u * width + i] = Source::load1(vector_at(i) + u * Source::kUnit, u >= full_units);
  }
}

// One unit of vectors side by side: one line of memory (two for pairs). Whole registers are stored
// where `reach` vectors may be read; what sticks out of a unit is overwritten by the next one.
template <class Source>
HWY_INLINE void pack_unit(const typename Source::Element* from,
                          std::int64_t stride,
                          std::int64_t count,
                          std::int64_t reach,
                          std::int64_t width,
                          bool half,
                          std::uint32_t* to) {
  std::int64_t i = 0;
  for (; i < width && i + kWide <= reach; i += kWide)
    hn::StoreU(Source::side(UnitsWide(), from + i, stride, half), UnitsWide(), to + i);
  for (; i < width && i + 4 <= reach; i += 4)
    hn::StoreU(Source::side(Units4(), from + i, stride, half), Units4(), to + i);
  for (; i < width; ++i)
    to[i] = i < count ? Source::side1(from + i, stride, half) : 0U;
}

// Vectors side by side, unit after unit over all panels: memory is read in long pieces.
template <class Source>
void pack_side_by_side(const Operand& operand,
                       const PanelRange& range,
                       std::int64_t width,
                       std::int64_t panel_stride,
                       std::uint32_t* panels) {
  using Element = typename Source::Element;
  const auto* base =
      static_cast<const Element*>(operand.data) + range.k_begin * operand.stride + range.first;
  const std::int64_t length = range.k_end - range.k_begin;
  const std::int64_t units = (length + Source::kUnit - 1) / Source::kUnit;
  const std::int64_t reach = operand.count - range.first;  // vectors that may be read
  constexpr auto kLineElements = static_cast<std::int64_t>(64 / sizeof(Element));
  for (std::int64_t u = 0; u < units; ++u) {
    const Element* from = base + u * Source::kUnit * operand.stride;
    const bool half = (u + 1) * Source::kUnit > length;
    if (u + kUnitsAhead < units) {
      const Element* ahead = from + kUnitsAhead * Source::kUnit * operand.stride;
      for (std::int64_t i = 0; i < range.count; i += kLineElements) {
        hwy::Prefetch(ahead + i);
        if (Source::kUnit == 2) hwy::Prefetch(ahead + operand.stride + i);
      }
    }
    std::uint32_t* to = panels + u * width;
    for (std::int64_t i = 0; i < range.count; i += width, to += panel_stride) {
      pack_unit<Source>(from + i, operand.stride, range.count - i, reach - i, width, half, to);
    }
  }
}

template <class Source>
void pack(const Operand& operand,
          const PanelRange& range,
          std::int64_t width,
          std::int64_t panel_stride,
          std::uint32_t* panels) {
  if (!operand.contiguous_k) {
    return pack_side_by_side<Source>(operand, range, width, panel_stride, panels);
  }
  for (std::int64_t i = 0; i < range.count; i += width, panels += panel_stride) {
    pack_contiguous<Source>(
        operand, {range.first + i, std::min(width, range.count - i), range.k_begin, range.k_end},
        width, panels);
  }
}

void pack_f32(const Operand& operand,
              const PanelRange& range,
              std::int64_t width,
              std::int64_t panel_stride,
              std::uint32_t* panels) {
  if (operand.dtype == DType::f32) {
    pack<F32Source>(operand, range, width, panel_stride, panels);
  } else {
    pack<WideSource>(operand, range, width, panel_stride, panels);
  }
}

void pack_pairs(const Operand& operand,
                const PanelRange& range,
                std::int64_t width,
                std::int64_t panel_stride,
                std::uint32_t* panels) {
  pack<PairSource>(operand, range, width, panel_stride, panels);
}

}  // namespace

PackPanels f32_packer() {
  return pack_f32;
}
PackPanels pairs_packer() {
  return pack_pairs;
}

}  // namespace tera::kernels::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace tera::kernels::cpu {

HWY_EXPORT(f32_packer);
HWY_EXPORT(pairs_packer);

PackPanels f32_panel_packer() {
  return HWY_DYNAMIC_DISPATCH(f32_packer)();
}

PackPanels pair_panel_packer() {
  return HWY_DYNAMIC_DISPATCH(pairs_packer)();
}

}  // namespace tera::kernels::cpu
#endif
