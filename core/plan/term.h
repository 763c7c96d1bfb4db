// Term: one line of an estimate, and where it is from.
//
// A leaf has a formula with its inputs in it, as numbers with units, and the source of the formula
// and of what it assumes; of a leaf of 0, the formula may say in words why there is nothing. A
// parent is the sum of its children, and its formula their labels; or it has a formula and a source
// of its own, and children that are its inputs or go into detail.
#pragma once
#include <string>
#include <vector>

#include "core/spec/origin.h"

namespace tera::plan {

struct Term {
  std::string label;
  double value = 0;
  std::string unit;     // "B", "s", "flop", "USD", "kWh"
  std::string formula;  // "4 B x 12.3 M params / 8 ranks", with the values in it
  std::string source;   // "Rajbhandari et al. 2020, ZeRO, section 3"
  std::vector<Term> children;
  spec::Origin origin = spec::Origin::analytic;  // of what it rests on: origins.h
};

Term leaf_term(
    std::string label, double value, std::string unit, std::string formula, std::string source);
// A parent whose value is the sum of its children; of none, 0.
Term sum_term(std::string label, std::string unit, std::vector<Term> children);
// The term at a path of labels joined by '/'; nullptr if there is none. Case and spaces count.
const Term* find_term(const Term& root, const std::string& path);
// Paths of all terms below the root, parents before their children: "time", "time/compute", ...
std::vector<std::string> term_paths(const Term& root);

}  // namespace tera::plan
