#include "core/nn/token_share.h"

#include "core/base/check.h"

namespace tera::nn {

TokenShare::TokenShare(const ParamStore& store) : tensor_(store), context_(store) {
  TERA_CHECK(tensor_.size() == 1 || tensor_.splits_tokens(),
             "experts behind {} tensor-parallel ranks that all "
             "have all tokens",
             tensor_.size());
}

std::int64_t TokenShare::token(std::int64_t own, std::int64_t count, const Batch& batch) const {
  const std::int64_t row = tensor_.first_row(count) + own;
  const std::int64_t length = std::int64_t{batch.seq_length} * context_.size();
  return row / batch.seq_length * length + context_.share().place(row % batch.seq_length, length);
}

}  // namespace tera::nn
