// Sliding-window attention: a token sees itself and the window - 1 tokens before it, never those of
// another document.
#pragma once
#include "core/nn/module.h"

namespace tera::nn {

// First key each token may attend to, [B, S] i32: the batch's own when window is 0. query_offset:
// keys cached before the batch's first token.
Tensor first_keys(const Batch& batch, int window, int query_offset = 0);

}  // namespace tera::nn
