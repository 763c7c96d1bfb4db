// Signs of life of the ranks of an attempt while they start. MPI begins with all of them together
// and waits for ever for one that is stopped or never came: who started them watches a file for
// each, beside the launch, which grows while its rank waits for the others and is gone when all are
// together. A rank that cannot tell its number has no file of its own: whoever holds the run's lock
// for the attempt speaks for all.
#pragma once
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "core/run/run_directory.h"

namespace tera::run {

// Of one rank, from here to its destruction. A disk that takes nothing is no error here: a rank
// that cannot write will say so itself.
class RankPulse {
 public:
  // Beats several times in the seconds that a StartWatch waits.
  RankPulse(const RunDirectory& dir, int attempt, int rank, double timeout_s);
  ~RankPulse();
  RankPulse(const RankPulse&) = delete;
  RankPulse& operator=(const RankPulse&) = delete;

 private:
  void beat();

  Vfs& vfs_;
  const std::filesystem::path file_;  // launch/aNNN/start-00003 of rank 3
  std::jthread thread_;
};

// Why ranks will never be together.
struct LostRanks {
  std::vector<int> silent;  // for timeout_s; none: all came, and do not find each other since then
  double timeout_s = 0;
};

// Of all ranks, for who starts them.
class StartWatch {
 public:
  // Makes the files: a computer that looks for one which is not there may not see it come for long.
  static Result<StartWatch> begin(const RunDirectory& dir,
                                  int attempt,
                                  int num_ranks,
                                  double timeout_s);

  // Nothing as long as there is hope. May be asked as often as one likes.
  std::optional<LostRanks> lost();

 private:
  struct Rank {
    int number = 0;
    std::filesystem::path file;
    std::string said = {};
    double since_s = 0;  // it said so
    bool is_together = false;
  };
  StartWatch(const RunDirectory& dir, int attempt, double timeout_s)
      : dir_(dir), attempt_(attempt), timeout_s_(timeout_s) {}
  bool train() const;  // a rank takes the lock when all are together
  void look_at(Rank& rank, double now_s);

  RunDirectory dir_;
  int attempt_;
  double timeout_s_;
  double next_look_s_ = 0;
  double last_came_s_ = 0;
  bool some_are_together_ = false;
  std::vector<Rank> ranks_;  // that are not together yet
};

}  // namespace tera::run
