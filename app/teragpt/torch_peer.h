// PyTorch as a contestant of `bench`: a script of resources/bench in a process of its own.
#pragma once
#include <string>
#include <string_view>
#include <vector>

#include <nlohmann/json.hpp>

#include "app/teragpt/peer_process.h"
#include "core/spec/model_config.h"

namespace tera::app {

// An error (invalid_input) that names the first setting of the model that the scripts do not have.
Result<void> check_torch_has(std::string_view model_name, const spec::ModelConfig& model);
// The model as the scripts read it.
nlohmann::ordered_json torch_settings(const spec::ModelConfig& model);

class TorchPeer {
 public:
  struct Options {
    std::string script;               // in resources/bench
    std::string python;               // interpreter that has PyTorch
    nlohmann::ordered_json settings;  // torch_settings and what else the script reads
    std::string variant;              // "default", or "tuned": with the environment of measurements
    int threads = 1;
    std::string verb;  // for the message when it is stopped
  };
  // Starts it and waits until it is ready.
  static Result<TorchPeer> start(const Options& options);

  int pid() const { return process_.pid(); }
  // "torch 2.6, 2 threads, compiled, bf16 autocast, f32 weights".
  const std::string& note() const { return note_; }
  // Sends a line; the numbers its answer has under this key.
  Result<std::vector<double>> ask(const std::string& line, const std::string& key);

 private:
  TorchPeer(PeerProcess process, const Options& options)
      : process_(std::move(process)), script_(options.script), verb_(options.verb) {}
  tl::unexpected<Error> unexpected_answer(const std::string& answer) const;

  PeerProcess process_;
  std::string script_;
  std::string verb_;
  std::string note_;
};

}  // namespace tera::app
