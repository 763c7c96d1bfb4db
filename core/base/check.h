// TERA_CHECK: contracts inside the program, always on. Throws ContractError with the message given,
// which says what, got, expected; never the text of the expression alone.
#pragma once
#include <fmt/format.h>

#include "core/base/error.h"

#define TERA_CHECK(condition, ...)                                             \
  do {                                                                         \
    if (!(condition)) [[unlikely]] {                                           \
      throw ::tera::ContractError(fmt::format("{}:{}: ", __FILE__, __LINE__) + \
                                  fmt::format(__VA_ARGS__));                   \
    }                                                                          \
  } while (false)

// Checks in inner loops; off in release builds.
#ifdef NDEBUG
#define TERA_DCHECK(condition, ...) ((void)0)
#else
#define TERA_DCHECK(condition, ...) TERA_CHECK(condition, __VA_ARGS__)
#endif
