// Bytes of tensors in host memory, as transports send them to members of a group.
#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <vector>

#include "core/comm/transport.h"

namespace tera::comm {

inline std::byte* bytes_of(const Tensor& x) {
  return static_cast<std::byte*>(x.view().data);
}
inline void copy_bytes(std::byte* to, const std::byte* from, std::int64_t bytes) {
  if (bytes > 0 && to != from) std::memcpy(to, from, static_cast<std::size_t>(bytes));
}

// Elements or bytes [begin, end) that a rank reduces or passes on.
struct Slice {
  std::int64_t begin = 0;
  std::int64_t end = 0;
  std::int64_t size() const { return end - begin; }
};
// Of n elements, those of member r of `size`.
inline Slice share(std::int64_t n, int r, int size) {
  return {n * r / size, n * (r + 1) / size};
}

// What goes to a member, and where to put what comes from it.
struct Parcel {
  const std::byte* out = nullptr;
  std::int64_t out_bytes = 0;
  std::byte* in = nullptr;
  std::int64_t in_bytes = 0;
};
// The blocks of an all_to_all, one for each member.
std::vector<Parcel> blocks_of(const Operation& operation);

// What is told of a message before its bytes.
struct MailHeader {
  DType dtype = DType::u8;
  int num_dims = 0;
  std::array<std::int64_t, 4> shape = {};
  bool operator==(const MailHeader&) const = default;
};
MailHeader header_of(const Tensor& x);
// "recv on pipeline: rank 0 sent f32 [3], rank 1 expects f32 [2]"; empty where they are alike.
std::string mail_disagreement(const Group& group,
                              int from,
                              const MailHeader& sent,
                              const MailHeader& expected);

}  // namespace tera::comm
