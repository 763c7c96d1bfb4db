#include "core/plan/term.h"

#include <algorithm>
#include <utility>

namespace tera::plan {

Term leaf_term(
    std::string label, double value, std::string unit, std::string formula, std::string source) {
  return {.label = std::move(label),
          .value = value,
          .unit = std::move(unit),
          .formula = std::move(formula),
          .source = std::move(source),
          .children = {}};
}

Term sum_term(std::string label, std::string unit, std::vector<Term> children) {
  Term term{.label = std::move(label),
            .value = 0,
            .unit = std::move(unit),
            .formula = {},
            .source = {},
            .children = std::move(children)};
  for (const Term& child : term.children) {
    term.value += child.value;
    term.origin = std::max(term.origin, child.origin);
    term.formula += (term.formula.empty() ? "" : " + ") + child.label;
  }
  if (term.children.empty()) term.formula = "none";
  return term;
}

const Term* find_term(const Term& root, const std::string& path) {
  const Term* term = &root;
  for (std::size_t begin = 0; begin < path.size();) {
    const std::size_t slash = path.find('/', begin);
    const std::size_t end = slash == std::string::npos ? path.size() : slash;
    const std::string label = path.substr(begin, end - begin);
    const Term* next = nullptr;
    for (const Term& child : term->children) {
      if (child.label == label) next = &child;
    }
    if (next == nullptr) return nullptr;
    term = next;
    begin = end + 1;
  }
  return term;
}

std::vector<std::string> term_paths(const Term& root) {
  std::vector<std::string> paths;
  for (const Term& child : root.children) {
    paths.push_back(child.label);
    for (const std::string& below : term_paths(child))
      paths.push_back(child.label + "/" + below);
  }
  return paths;
}

}  // namespace tera::plan
