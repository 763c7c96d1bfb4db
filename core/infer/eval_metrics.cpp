#include "core/infer/eval_metrics.h"

#include <cmath>
#include <numeric>
#include <vector>

#include "core/infer/python_random.h"

namespace tera::infer {
namespace {

double sample_deviation(std::span<const double> values) {
  if (values.size() < 2) return 0;
  const double middle = mean(values);
  double squares = 0;
  for (const double value : values)
    squares += (value - middle) * (value - middle);
  return std::sqrt(squares / static_cast<double>(values.size() - 1));
}

}  // namespace

double mean(std::span<const double> values) {
  if (values.empty()) return 0;
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double standard_error(std::span<const double> values) {
  if (values.size() < 2) return 0;
  return sample_deviation(values) / std::sqrt(static_cast<double>(values.size()));
}

Metric perplexity(std::span<const double> logprobs) {
  constexpr std::uint32_t kRuns = 100;
  constexpr int kResamples = 1000;
  std::vector<double> resampled;
  const auto n = static_cast<double>(logprobs.size());
  for (std::uint32_t run = 0; run < kRuns && logprobs.size() > 1; ++run) {
    PythonRandom random(run);
    for (int i = 0; i < kResamples; ++i) {
      double sum = 0;
      for (std::size_t k = 0; k < logprobs.size(); ++k)
        sum += logprobs[static_cast<std::size_t>(random.random() * n)];
      resampled.push_back(std::exp(-sum / n));
    }
  }
  return {"perplexity", std::exp(-mean(logprobs)), sample_deviation(resampled)};
}

}  // namespace tera::infer
