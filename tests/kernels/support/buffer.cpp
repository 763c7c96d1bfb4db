#include "tests/kernels/support/buffer.h"

#include <cstring>
#include <utility>

namespace tera::kernels::test {
namespace {

constexpr std::uint8_t kGapByte = 0xa5;

template <class T>
T read(const void* from) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}

template <class T>
void write(void* to, T value) {
  std::memcpy(to, &value, sizeof(T));
}

}  // namespace

Buffer::Buffer(DType dtype, std::vector<std::int64_t> shape, std::int64_t gap) : gap_(gap) {
  view_.dtype = dtype;
  view_.rank = static_cast<int>(shape.size());
  std::int64_t stride = 1;
  for (int d = view_.rank - 1; d >= 0; --d) {
    const auto i = static_cast<std::size_t>(d);
    view_.shape[i] = shape[i];
    view_.strides[i] = stride;
    stride *= shape[i];
    if (d == view_.rank - 1) stride += gap;
  }
  // One byte more than needed keeps the pointer of an empty array non-null.
  memory_.assign(static_cast<std::size_t>(stride * dtype_bytes(dtype)) + 1, kGapByte);
  view_.data = memory_.data();
  fill(0);
}

std::int64_t Buffer::position(std::int64_t i) const {
  const std::int64_t width = view_.shape[static_cast<std::size_t>(view_.rank - 1)];
  return i / width * (width + gap_) + i % width;
}

double Buffer::get(std::int64_t i) const {
  const std::uint8_t* at = memory_.data() + position(i) * dtype_bytes(view_.dtype);
  switch (view_.dtype) {
    case DType::f64:
      return read<double>(at);
    case DType::f32:
      return static_cast<double>(read<float>(at));
    case DType::bf16:
      return static_cast<double>(static_cast<float>(read<Bf16>(at)));
    case DType::f16:
      return static_cast<double>(static_cast<float>(read<F16>(at)));
    case DType::i64:
      return static_cast<double>(read<std::int64_t>(at));
    case DType::u16:
      return static_cast<double>(read<std::uint16_t>(at));
    default:
      return static_cast<double>(read<std::int32_t>(at));
  }
}

void Buffer::set(std::int64_t i, double value) {
  std::uint8_t* at = memory_.data() + position(i) * dtype_bytes(view_.dtype);
  switch (view_.dtype) {
    case DType::f64:
      return write(at, value);
    case DType::f32:
      return write(at, static_cast<float>(value));
    case DType::bf16:
      return write(at, Bf16(static_cast<float>(value)));
    case DType::f16:
      return write(at, F16(static_cast<float>(value)));
    case DType::i64:
      return write(at, static_cast<std::int64_t>(value));
    case DType::u16:
      return write(at, static_cast<std::uint16_t>(value));
    default:
      return write(at, static_cast<std::int32_t>(value));
  }
}

std::vector<double> Buffer::values() const {
  std::vector<double> all;
  for (std::int64_t i = 0; i < size(); ++i)
    all.push_back(get(i));
  return all;
}

Buffer& Buffer::fill_normal(std::mt19937& rng, double scale) {
  std::normal_distribution<double> normal(0.0, scale);
  for (std::int64_t i = 0; i < size(); ++i)
    set(i, normal(rng));
  return *this;
}

Buffer& Buffer::fill(double value) {
  for (std::int64_t i = 0; i < size(); ++i)
    set(i, value);
  return *this;
}

Buffer& Buffer::assign(const std::vector<double>& values) {
  for (std::int64_t i = 0; i < size(); ++i)
    set(i, values.at(static_cast<std::size_t>(i)));
  return *this;
}

Buffer Buffer::clone() const {
  if (!view_.present()) return {};
  Buffer copy;
  copy.memory_ = memory_;
  copy.gap_ = gap_;
  copy.view_ = view_;
  copy.view_.data = copy.memory_.data();
  return copy;
}

Buffer Buffer::converted(DType dtype) const {
  if (!view_.present()) return {};
  Buffer to(dtype, {view_.shape.begin(), view_.shape.begin() + view_.rank}, gap_);
  for (std::int64_t i = 0; i < size(); ++i)
    to.set(i, get(i));
  return to;
}

bool Buffer::padding_intact() const {
  if (gap_ == 0 || size() == 0) return true;
  const std::int64_t width = view_.shape[static_cast<std::size_t>(view_.rank - 1)];
  const std::int64_t bytes = dtype_bytes(view_.dtype);
  for (std::int64_t r = 0; r < size() / width; ++r) {
    const std::int64_t end = (r * (width + gap_) + width) * bytes;
    for (std::int64_t b = 0; b < gap_ * bytes; ++b) {
      const std::int64_t at = end + b;
      if (at < std::ssize(memory_) - 1 && memory_[static_cast<std::size_t>(at)] != kGapByte) {
        return false;
      }
    }
  }
  return true;
}

}  // namespace tera::kernels::test
