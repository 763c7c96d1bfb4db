// Why ranks of an attempt ended. Each writes a file of its own beside the launch, so that who
// started them can tell the first cause, even where rank 0, which notes events, is the one that is
// gone.
#pragma once
#include <optional>

#include "core/run/run_directory.h"

namespace tera::run {

struct RankError {
  int rank = 0;  // -1: it never learned its number
  Error error;
  double time_s = 0;  // since the epoch
};

// launch/aNNN/error-00003.json of rank 3.
Result<void> note_rank_error(const RunDirectory& dir, int attempt, const RankError& error);
// The earliest; nothing when no rank wrote. Ranks that were told to end by another have its message
// too, so of those that have the same the one with a hint is taken.
std::optional<RankError> first_rank_error(const RunDirectory& dir, int attempt);

}  // namespace tera::run
