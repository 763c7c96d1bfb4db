// What the files that call MPI share: its errors as exceptions.
#pragma once
#include <string_view>

#include <fmt/format.h>
#include <mpi.h>

#include "core/base/error.h"

namespace tera::comm {

// CommunicationError with MPI's own words unless `code` is success.
inline void check(int code, std::string_view where) {
  if (code == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING];
  int length = 0;
  MPI_Error_string(code, text, &length);
  throw CommunicationError(
      fmt::format("{}: {}", where, std::string_view(text, static_cast<std::size_t>(length))));
}

}  // namespace tera::comm
