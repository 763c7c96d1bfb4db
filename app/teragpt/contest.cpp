#include "app/teragpt/contest.h"

#include <fmt/format.h>

#include "core/base/median.h"
#include "core/base/units.h"

namespace tera::app {

void add_contest_options(CLI::App& verb, ContestArguments& args) {
  verb.add_option("--rounds", args.rounds, "Rounds in turn with the peers")
      ->check(at_least(1))
      ->capture_default_str();
  verb.add_option("--threads", args.threads, "Threads; 0 = all processors")
      ->check(at_least(0, 4096));
  verb.add_option("--vs", args.versus, "Measure beside: torch (its default and its tuned settings)")
      ->check(one_of({"torch"}));
  verb.add_option("--python", args.python, "Interpreter that has PyTorch")->capture_default_str();
}

double Contestant::median_s() const {
  return median(seconds);
}

nlohmann::ordered_json peer_row(const Contestant& peer,
                                double step_s,
                                double tokens_per_step,
                                double own_step_s) {
  return {{"name", peer.name},
          {"note", peer.note},
          {"step_s", step_s},
          {"tokens_per_s", tokens_per_step / step_s},
          {"ratio", step_s / own_step_s}};
}

void print_peers(const nlohmann::ordered_json& row) {
  for (const auto& peer : row["peers"]) {
    const std::string memory =
        peer.contains("peak_memory_bytes")
            ? fmt::format("{:>9}  ", format_bytes(peer["peak_memory_bytes"].get<double>()))
            : "";
    fmt::print("  {:<16} {:>9} tok/s  {:>9}/step  {}teragpt is {:.2f} x  ({})\n",
               peer["name"].get<std::string>(), format_count(peer["tokens_per_s"].get<double>()),
               format_seconds(peer["step_s"].get<double>()), memory, peer["ratio"].get<double>(),
               peer["note"].get<std::string>());
  }
}

}  // namespace tera::app
