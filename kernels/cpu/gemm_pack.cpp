// Panels with Highway: one compilation per instruction set, chosen at run time.
//
// Packing moves 32-bit units. Vectors contiguous along K are transposed in registers, as many units
// of as many vectors as a register has lanes; vectors that lie side by side are copied.
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

using Units = hn::ScalableTag<std::uint32_t>;
using Halves = hn::Rebind<std::uint16_t, Units>;
using Units4 = hn::CappedTag<std::uint32_t, 4>;
using V = hn::Vec<Units>;
constexpr auto kWide = static_cast<std::int64_t>(hn::MaxLanes(Units()));
constexpr std::int64_t kLine = 16;       // units of a cache line
constexpr std::int64_t kLinesAhead = 2;  // of each vector, fetched before they are needed
constexpr std::int64_t kUnitsAhead = 8;  // of vectors side by side

// ---- readers: units of one kind from one kind of memory

struct F32Source {
  using Element = float;
  static constexpr std::int64_t kUnit = 1;
  static V along(const float* p) {
    return hn::LoadU(Units(), reinterpret_cast<const std::uint32_t*>(p));
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
  static V along(const std::uint16_t* p) {
    return hn::ShiftLeft<16>(hn::PromoteTo(Units(), hn::LoadU(Halves(), p)));
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
  static V along(const std::uint16_t* p) {
    return hn::LoadU(Units(), reinterpret_cast<const std::uint32_t*>(p));
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

// The 4 x 4 units of each 128-bit block of r[0..4), transposed.
HWY_INLINE void transpose_in_blocks(V* r) {
  const Units d;
  const hn::Repartition<std::uint64_t, Units> d64;
  const auto low01 = hn::BitCast(d64, hn::InterleaveLower(d, r[0], r[1]));
  const auto low23 = hn::BitCast(d64, hn::InterleaveLower(d, r[2], r[3]));
  const auto high01 = hn::BitCast(d64, hn::InterleaveUpper(d, r[0], r[1]));
  const auto high23 = hn::BitCast(d64, hn::InterleaveUpper(d, r[2], r[3]));
  r[0] = hn::BitCast(d, hn::InterleaveLower(d64, low01, low23));
  r[1] = hn::BitCast(d, hn::InterleaveUpper(d64, low01, low23));
  r[2] = hn::BitCast(d, hn::InterleaveLower(d64, high01, high23));
  r[3] = hn::BitCast(d, hn::InterleaveUpper(d64, high01, high23));
}

// Blocks of a register and of the one that follows it 4 later, and so on: block b of the g-th
// becomes block g of the b-th.
HWY_INLINE void transpose_blocks(V* r) {
  const Units d;
  if constexpr (kWide == 8) {
    const V low = hn::ConcatLowerLower(d, r[4], r[0]);
    r[4] = hn::ConcatUpperUpper(d, r[4], r[0]);
    r[0] = low;
  } else if constexpr (kWide == 16) {
    const V low02 = hn::ConcatLowerLower(d, r[8], r[0]);
    const V low13 = hn::ConcatLowerLower(d, r[12], r[4]);
    const V high02 = hn::ConcatUpperUpper(d, r[8], r[0]);
    const V high13 = hn::ConcatUpperUpper(d, r[12], r[4]);
    r[0] = hn::OddEvenBlocks(hn::SwapAdjacentBlocks(low13), low02);
    r[4] = hn::OddEvenBlocks(low13, hn::SwapAdjacentBlocks(low02));
    r[8] = hn::OddEvenBlocks(hn::SwapAdjacentBlocks(high13), high02);
    r[12] = hn::OddEvenBlocks(high13, hn::SwapAdjacentBlocks(high02));
  }
}

// kWide units of kWide vectors into a panel, at `from` + `at`.
template <class Source>
HWY_INLINE void pack_square(const std::array<const typename Source::Element*, kWide>& from,
                            std::int64_t at,
                            std::int64_t width,
                            std::uint32_t* HWY_RESTRICT to) {
  static_assert(kWide == 4 || kWide == 8 || kWide == 16);
  V r[kWide];
#pragma GCC unroll 16
  for (int i = 0; i < kWide; ++i)
    r[i] = Source::along(from[i] + at);
#pragma GCC unroll 4
  for (int i = 0; i < kWide; i += 4)
    transpose_in_blocks(r + i);
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i)
    transpose_blocks(r + i);
#pragma GCC unroll 16
  for (int i = 0; i < kWide; ++i)
    hn::StoreU(r[i], Units(), to + i * width);
}

// Vectors contiguous along K, kWide of them at a time over all of K, from the last to the first:
// what sticks out of a unit is overwritten, by the next one or by the vectors that come before.
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
  const std::int64_t square_units = full_units / kWide * kWide;
  const std::int64_t last_group = (width - 1) / kWide * kWide;
  for (std::int64_t group = last_group; group >= 0; group -= kWide) {
    std::array<const Element*, kWide> from;
    for (std::int64_t i = 0; i < kWide; ++i)
      from[static_cast<std::size_t>(i)] = vector_at(group + i);
    // A line of each: more streams than the processor's own prefetching follows. Near the end of
    // these vectors the ones that come after them are fetched, of this panel or the next.
    const std::int64_t after = group > 0 ? -kWide : width + last_group;
    const std::int64_t next = std::min(after, operand.count - 1 - range.first) * operand.stride;
    for (std::int64_t unit = 0; unit < square_units; unit += kWide) {
      const std::int64_t at = unit * Source::kUnit;
      if (unit % kLine == 0) {
        const bool last_lines = unit + kLinesAhead * kLine >= square_units;
        const std::int64_t ahead =
            (kLinesAhead * kLine - (last_lines ? square_units : 0)) * Source::kUnit +
            (last_lines ? next : 0);
        for (const Element* p : from)
          hwy::Prefetch(p + at + ahead);
      }
      pack_square<Source>(from, at, width, panel + unit * width + group);
    }
  }
  const std::int64_t units = (length + Source::kUnit - 1) / Source::kUnit;
  for (std::int64_t u = square_units; u < units; ++u) {
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
    hn::StoreU(Source::side(Units(), from + i, stride, half), Units(), to + i);
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
