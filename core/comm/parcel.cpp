#include "core/comm/parcel.h"

#include <fmt/format.h>

#include "core/comm/operation_checks.h"

namespace tera::comm {
namespace {

std::string text_of(const MailHeader& header) {
  return fmt::format("{} [{}]", dtype_name(header.dtype),
                     fmt::join(header.shape.begin(), header.shape.begin() + header.num_dims, ", "));
}

}  // namespace

std::vector<Parcel> blocks_of(const Operation& operation) {
  const std::int64_t row = row_bytes(operation.from);
  std::vector<Parcel> blocks(operation.send_rows.size());
  const std::byte* out = bytes_of(operation.from);
  std::byte* in = bytes_of(operation.to);
  for (std::size_t r = 0; r < blocks.size(); ++r) {
    blocks[r] = {out, operation.send_rows[r] * row, in, operation.recv_rows[r] * row};
    out += blocks[r].out_bytes;
    in += blocks[r].in_bytes;
  }
  return blocks;
}

MailHeader header_of(const Tensor& x) {
  return {.dtype = x.dtype(), .num_dims = x.rank(), .shape = x.view().shape};
}

std::string mail_disagreement(const Group& group,
                              int from,
                              const MailHeader& sent,
                              const MailHeader& expected) {
  if (sent == expected) return {};
  return fmt::format("recv on {}: rank {} sent {}, rank {} expects {}", group.axis,
                     group.ranks[static_cast<std::size_t>(from)], text_of(sent), group.world_rank(),
                     text_of(expected));
}

}  // namespace tera::comm
