// Checks of option values that read alike: "--steps: got 'abc', expected a whole number from 1 to
// 8".
#pragma once
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include <CLI/CLI.hpp>

namespace tera::app {

// A whole number of at least `lowest` and at most `highest`.
CLI::Validator at_least(std::int64_t lowest,
                        std::int64_t highest = std::numeric_limits<int>::max());
// A finite number from `lowest` to `highest`.
CLI::Validator number_between(double lowest, double highest);
// One of a few words.
CLI::Validator one_of(const std::vector<std::string>& words);

// Adds the --set option to a verb.
void add_set_option(CLI::App& verb, std::vector<std::string>& overrides);

}  // namespace tera::app
