#include "core/nn/token_share.h"

#include "core/base/check.h"

namespace tera::nn {

TokenShare::TokenShare(const ParamStore& store) : group_(store) {
  TERA_CHECK(is_all() || group_.splits_tokens(),
             "experts behind {} tensor-parallel ranks that all "
             "have all tokens",
             num_ranks());
}

}  // namespace tera::nn
