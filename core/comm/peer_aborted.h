// What a rank is thrown out of an operation with when another one has given up: not the cause of
// the end, which it carries along.
#pragma once
#include <string>

#include <fmt/format.h>

#include "core/base/error.h"

namespace tera::comm {

class PeerAborted : public CommunicationError {
 public:
  // `where` says who notices it, doing what: "barrier on world, rank 2".
  PeerAborted(const std::string& where, std::string reason)
      : CommunicationError(fmt::format("{}: aborted: {}", where, reason)),
        reason_(std::move(reason)) {}

  const std::string& reason() const { return reason_; }  // of the rank that gave up first

 private:
  std::string reason_;
};

}  // namespace tera::comm
