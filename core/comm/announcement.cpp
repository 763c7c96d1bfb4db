#include "core/comm/announcement.h"

#include <span>

#include <fmt/format.h>

namespace tera::comm {
namespace {

std::string text_of(const Announcement& a) {
  const auto dims = std::span(a.shape).first(static_cast<std::size_t>(a.num_dims));
  const std::string shape =
      fmt::format("{} [{}]", dtype_name(a.dtype), fmt::join(dims.begin(), dims.end(), ", "));
  switch (a.kind) {
    case OperationKind::all_reduce:
    case OperationKind::reduce_scatter:
      return fmt::format("{} ({}) of {}", enum_name(a.kind), enum_name(a.reduce), shape);
    case OperationKind::broadcast:
      return fmt::format("{} from member {} of {}", enum_name(a.kind), a.root, shape);
    case OperationKind::barrier:
    case OperationKind::split:
      return std::string(enum_name(a.kind));
    default:
      return fmt::format("{} of {}", enum_name(a.kind), shape);
  }
}

bool agree(const Announcement& a, const Announcement& b) {  // their split requests may differ
  return a.kind == b.kind && a.dtype == b.dtype && a.reduce == b.reduce && a.root == b.root &&
         a.num_dims == b.num_dims && a.shape == b.shape;
}

}  // namespace

Announcement announce(const Operation& operation) {
  Announcement a{.kind = operation.kind, .reduce = operation.reduce, .root = operation.peer};
  if (a.kind == OperationKind::barrier || a.kind == OperationKind::split) return a;
  const Tensor& x = operation.from;
  a.dtype = x.dtype();
  a.num_dims = x.rank();
  for (int d = 0; d < x.rank(); ++d)
    a.shape[static_cast<std::size_t>(d)] = x.dim(d);
  if (a.kind == OperationKind::all_to_all) a.shape.front() = -1;
  return a;
}

std::string disagreement(const Group& group, const std::vector<Announcement>& announced) {
  for (std::size_t r = 1; r < announced.size(); ++r) {
    if (!agree(announced.front(), announced[r])) {
      return fmt::format("{} of {}: rank {} calls {}, rank {} calls {}", group.axis,
                         rank_list(group.ranks), group.ranks.front(), text_of(announced.front()),
                         group.ranks[r], text_of(announced[r]));
    }
  }
  return {};
}

std::string row_disagreement(
    const Group& group, int from, int to, std::int64_t sent, std::int64_t expected) {
  return fmt::format("all_to_all on {}: rank {} sends {} rows to rank {}, which expects {}",
                     group.axis, group.ranks[static_cast<std::size_t>(from)], sent,
                     group.ranks[static_cast<std::size_t>(to)], expected);
}

}  // namespace tera::comm
