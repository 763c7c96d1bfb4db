// What the parts of validation share: a collector of diagnostics and a hint maker.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/spec/run_spec.h"

namespace tera::spec {

// Collects findings; `field` is the path a person would edit.
class Findings {
 public:
  void error(std::string field, std::string message, std::string hint) {
    add(Severity::error, std::move(field), std::move(message), std::move(hint));
  }
  void warning(std::string field, std::string message, std::string hint) {
    add(Severity::warning, std::move(field), std::move(message), std::move(hint));
  }
  void note(std::string field, std::string message, std::string hint) {
    add(Severity::note, std::move(field), std::move(message), std::move(hint));
  }
  std::vector<Diagnostic> take() { return std::move(found_); }

 private:
  void add(Severity severity, std::string field, std::string message, std::string hint) {
    found_.push_back({.severity = severity,
                      .field = std::move(field),
                      .message = std::move(message),
                      .hint = std::move(hint)});
  }
  std::vector<Diagnostic> found_;
};

// The divisors of `whole` next below and above `size` that are legal, as a hint: "use 4 or 8". At
// least 1 is.
std::string nearest_divisors(
    std::int64_t whole,
    std::int64_t size,
    const std::function<bool(std::int64_t)>& is_legal = [](std::int64_t) { return true; });

// The parts, each for values inside the ranges of their fields.
void check_model(const RunSpec& spec, Findings& findings);
void check_experts(const ModelConfig& model, Findings& findings);
void check_training(const RunSpec& spec, Findings& findings);
void check_lora(const RunSpec& spec, Findings& findings);
void check_layout(const RunSpec& spec, Findings& findings);
void check_sharing(const RunSpec& spec, Findings& findings);    // a part of the layout
void check_placement(const RunSpec& spec, Findings& findings);  // of the layout on the cluster
void check_cluster(const RunSpec& spec, Findings& findings);

}  // namespace tera::spec
