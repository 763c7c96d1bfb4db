// Result<T>: a value, or an Error that a person can act on. Use only members std::expected has too.
#pragma once
#include <string>
#include <utility>

#include <tl/expected.hpp>

#include "core/base/error.h"

namespace tera {

template <class T>
using Result = tl::expected<T, Error>;

// return fail(ErrorCode::io, "cannot open x: no such file", "check the path");
inline tl::unexpected<Error> fail(ErrorCode code, std::string message, std::string hint = {}) {
  return tl::unexpected<Error>(Error{code, std::move(message), std::move(hint)});
}

}  // namespace tera

// TERA_TRY(value, expression): value = *expression, or returns its error from this function.
#define TERA_TRY_CONCAT_INNER(a, b) a##b
#define TERA_TRY_CONCAT(a, b) TERA_TRY_CONCAT_INNER(a, b)
#define TERA_TRY(declaration, expression) \
  TERA_TRY_IMPL(declaration, expression, TERA_TRY_CONCAT(tera_try_, __LINE__))
#define TERA_TRY_IMPL(declaration, expression, temporary)                               \
  auto temporary = (expression);                                                        \
  if (!temporary) return ::tl::unexpected<::tera::Error>(std::move(temporary).error()); \
  declaration = std::move(temporary).value()
// TERA_TRY_VOID(expression): returns the error of a Result<void>.
#define TERA_TRY_VOID(expression)                                                 \
  do {                                                                            \
    auto tera_try_status = (expression);                                          \
    if (!tera_try_status)                                                         \
      return ::tl::unexpected<::tera::Error>(std::move(tera_try_status).error()); \
  } while (false)
