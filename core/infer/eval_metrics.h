// Figures of an evaluation with their standard errors.
#pragma once
#include <optional>
#include <span>
#include <string>

namespace tera::infer {

struct Metric {
  std::string name;
  double value = 0;
  std::optional<double> standard_error = {};
};

double mean(std::span<const double> values);  // 0 of none
// Of the mean: sample deviation / sqrt(n); 0 of one value.
double standard_error(std::span<const double> values);
// exp(-mean), and its error by bootstrap: the deviation of 100,000 resamples, in 100 runs of
// PythonRandom(0), (1), ...
Metric perplexity(std::span<const double> logprobs);

}  // namespace tera::infer
