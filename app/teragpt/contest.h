// What the verbs of bench that measure beside a peer have in common: contestants take turns, round
// by round, and are told by their medians.
#pragma once
#include <string>
#include <vector>

#include "app/teragpt/cli.h"

namespace tera::app {

struct ContestArguments {
  int rounds = 3;
  int threads = 0;  // 0: all processors
  std::string versus;
  std::string python = "python3";
};
void add_contest_options(CLI::App& verb, ContestArguments& args);

struct Contestant {
  std::string name;
  std::string note = {};             // of a peer: its version and settings
  std::vector<double> seconds = {};  // of what is timed, in all rounds but the first

  double median_s() const;
};

// A peer's part of a row, beside our seconds per step.
nlohmann::ordered_json peer_row(const Contestant& peer,
                                double step_s,
                                double tokens_per_step,
                                double own_step_s);
// A line for each of row["peers"].
void print_peers(const nlohmann::ordered_json& row);

}  // namespace tera::app
