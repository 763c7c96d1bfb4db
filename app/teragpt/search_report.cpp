#include "app/teragpt/search_report.h"

#include <algorithm>
#include <limits>

#include <fmt/format.h>

#include "app/teragpt/plan_report.h"
#include "app/teragpt/spec_json.h"
#include "core/base/counted.h"
#include "core/base/units.h"
#include "core/plan/layout_text.h"
#include "core/plan/origins.h"

namespace tera::app {
namespace {

using plan::FoundLayout;
using plan::SearchObjective;

constexpr std::string_view kObjectives[] = {"time", "cost", "memory"};

std::string signed_text(double change, bool bytes) {
  const std::string size =
      bytes ? format_bytes(std::abs(change)) : format_seconds(std::abs(change));
  return (change < 0 ? "-" : "+") + size;
}

// "bubble +0.1 s, expert parallel -20 ms": what changes most.
std::string largest_changes(const std::vector<plan::TermDifference>& terms, bool bytes) {
  constexpr std::size_t kShown = 3;
  std::string text;
  for (std::size_t i = 0; i < std::min(kShown, terms.size()); ++i) {
    const std::string& path = terms[i].path;
    const std::size_t slash = path.rfind('/');
    text += fmt::format("{}{} {}", i > 0 ? ", " : "",
                        slash == std::string::npos ? path : path.substr(slash + 1),
                        signed_text(terms[i].change(), bytes));
  }
  return text;
}

std::string why(const SearchReport& report, std::size_t rank) {
  const plan::Estimate& first = report.best.front();
  const plan::Estimate& this_one = report.best[rank];
  const bool memory = report.objective == SearchObjective::memory;
  if (rank == 0) {
    return fmt::format("{} of {} that fit{}",
                       memory                                      ? "the leanest"
                       : report.objective == SearchObjective::cost ? "the cheapest"
                                                                   : "the fastest",
                       counted(report.result.feasible, "layout"),
                       report.result.complete ? ", proven" : ", as far as the search came");
  }
  const plan::LayoutDifference change = plan::layout_difference(first, this_one);
  const double more =
      memory ? this_one.worst_bytes - first.worst_bytes : this_one.step_s - first.step_s;
  const std::string changes = largest_changes(memory ? change.memory : change.time, memory);
  if (more == 0 && changes.empty()) return "the same as the best";
  return fmt::format("{} against the best{}{}", signed_text(more, memory),
                     changes.empty() ? "" : ": ", changes);
}

Result<plan::Estimate> estimate_of(spec::RunSpec spec, const FoundLayout& found) {
  spec.layout = found.layout;
  return plan::tagged_estimate(spec);
}

// The sizes and choices of a layout, as one column of a table.
std::string row_text(const FoundLayout& found) {
  return fmt::format("{:>10}{:>12}   {}\n", format_seconds(found.figures.step_s),
                     format_bytes(found.figures.memory_bytes), plan::layout_text(found.layout));
}

// Of neighbours that need nearly the same, one; the last needs least.
std::string front_text(const std::vector<FoundLayout>& front) {
  constexpr double kStep = 0.95;  // of the memory of the one before
  std::string text = "\nFront of time and memory: each needs less memory than all faster ones\n";
  std::int64_t hidden = 0;
  double shown_bytes = std::numeric_limits<double>::infinity();
  for (std::size_t i = 0; i < front.size(); ++i) {
    const double bytes = front[i].figures.memory_bytes;
    if (bytes > kStep * shown_bytes && i + 1 < front.size()) {
      ++hidden;
      continue;
    }
    shown_bytes = bytes;
    text += "    " + row_text(front[i]);
  }
  if (hidden > 0)
    text += fmt::format("    and {} between them, which --json lists\n", counted(hidden, "layout"));
  return text;
}

// What was searched, and how much of it needed a closer look.
std::string space_text(const SearchReport& report) {
  const plan::SearchResult& r = report.result;
  std::string text = fmt::format("{} of {}", counted(r.considered, "legal layout"),
                                 counted(report.spec.cluster.num_devices(), "device"));
  if (r.ways_to_offload > 1)
    text += fmt::format(", with {} ways to offload each", r.ways_to_offload);
  text += fmt::format("\n{} fit into {}", format_integer(r.feasible),
                      format_bytes(r.memory_limit_bytes));
  if (r.need_offload > 0) {
    text += fmt::format(", {} of them only if something leaves the device",
                        format_integer(r.need_offload));
  }
  return text +
         fmt::format("; {} played, {}\n", format_integer(r.played), format_seconds(report.seconds));
}

std::string difference_text(const SearchReport& report) {
  std::string text = fmt::format("\nAgainst {}, term by term\n", report.difference_from);
  const auto add = [&text](const std::vector<plan::TermDifference>& terms, bool bytes) {
    for (const plan::TermDifference& term : terms) {
      const auto size = [bytes](double value) {
        return bytes ? format_bytes(value) : format_seconds(value);
      };
      text += fmt::format("  {:<44}{:>12} -> {:<12}{:>12}\n", term.path, size(term.before),
                          size(term.after), signed_text(term.change(), bytes));
    }
  };
  add(report.difference->time, false);
  add(report.difference->memory, true);
  if (report.difference->time.empty() && report.difference->memory.empty())
    text += "  no term differs\n";
  return text;
}

nlohmann::ordered_json layout_json(const spec::RunSpec& spec, const FoundLayout& found) {
  spec::RunSpec with = spec;
  with.layout = found.layout;
  return to_json(with)["layout"];
}

nlohmann::ordered_json terms_json(const std::vector<plan::TermDifference>& terms) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const plan::TermDifference& term : terms) {
    list.push_back({{"term", term.path},
                    {"before", term.before},
                    {"after", term.after},
                    {"change", term.change()}});
  }
  return list;
}

}  // namespace

Result<SearchReport> make_report(const spec::RunSpec& spec,
                                 const plan::SearchOptions& options,
                                 plan::SearchResult result,
                                 const std::optional<plan::Estimate>& own,
                                 int compare) {
  SearchReport report;
  report.spec = spec;
  report.spec.layout = result.best.front().layout;
  report.objective = options.objective;
  report.result = std::move(result);
  const std::vector<FoundLayout>& best = report.result.best;
  if (compare > std::ssize(best)) {
    return fail(ErrorCode::invalid_input,
                fmt::format("--compare: got {}, but {} found", compare,
                            counted(std::ssize(best), "layout")),
                "use a larger --top");
  }
  for (const FoundLayout& found : best) {
    TERA_TRY(plan::Estimate estimate, estimate_of(spec, found));
    report.best.push_back(std::move(estimate));
  }
  for (std::size_t rank = 0; rank < best.size(); ++rank)
    report.why.push_back(why(report, rank));
  if (compare > 0) {
    const auto other = static_cast<std::size_t>(compare - 1);
    report.difference = plan::layout_difference(report.best[other], report.best.front());
    report.difference_from =
        fmt::format("layout {} ({})", compare, plan::layout_text(best[other].layout));
  } else if (own) {
    report.difference = plan::layout_difference(*own, report.best.front());
    report.difference_from =
        fmt::format("the layout in the spec ({}, {}{})", format_seconds(own->step_s),
                    format_bytes(own->worst_bytes), own->fits ? "" : ", which does not fit");
  }
  return report;
}

std::string search_text(const SearchReport& report) {
  const plan::SearchResult& r = report.result;
  std::string text =
      space_text(report) + fmt::format("{}; no layout that fits takes less than {}\n",
                                       r.complete ? "Proven best with respect to the model"
                                                  : "Stopped: the best so far, not proven",
                                       format_seconds(r.lower_bound_s));
  text += fmt::format("Step times are {}\n\n", report.best.front().basis.text);
  text += fmt::format("{:>4}{:>10}{:>12}{:>8}{:>14}   {}\n", "", "step", "memory", "MFU", "USD",
                      "layout");
  for (std::size_t i = 0; i < r.best.size(); ++i) {
    const FoundLayout& found = r.best[i];
    text += fmt::format(
        "{:>4}{:>10}{:>12}{:>8}{:>14}   {}\n", i + 1, format_seconds(found.figures.step_s),
        format_bytes(found.figures.memory_bytes),
        format_percent(report.best[i].model_flops_utilization),
        format_integer(static_cast<std::int64_t>(found.usd)), plan::layout_text(found.layout));
    if (i > 0) text += fmt::format("{:>51}{}\n", "", report.why[i]);
  }
  text += front_text(r.pareto);
  if (report.difference) text += difference_text(report);
  return text;
}

nlohmann::ordered_json search_json(const SearchReport& report) {
  const plan::SearchResult& r = report.result;
  nlohmann::ordered_json document;
  document["schema"] = "teragpt.search/1";
  document["name"] = report.spec.name;
  document["devices"] = report.spec.cluster.num_devices();
  document["objective"] = kObjectives[static_cast<std::size_t>(report.objective)];
  document["memory_limit_bytes"] = r.memory_limit_bytes;
  document["considered"] = r.considered;
  document["ways_to_offload"] = r.ways_to_offload;
  document["feasible"] = r.feasible;
  document["need_offload"] = r.need_offload;
  document["played"] = r.played;
  document["seconds"] = report.seconds;
  document["complete"] = r.complete;
  document["lower_bound_s"] = r.lower_bound_s;
  document["best"] = nlohmann::ordered_json::array();
  for (std::size_t i = 0; i < r.best.size(); ++i) {
    const FoundLayout& found = r.best[i];
    document["best"].push_back({{"layout", layout_json(report.spec, found)},
                                {"step_s", found.figures.step_s},
                                {"memory_bytes", found.figures.memory_bytes},
                                {"host_bytes", found.figures.host_bytes},
                                {"nvme_bytes", found.figures.nvme_bytes},
                                {"mfu", report.best[i].model_flops_utilization},
                                {"usd", found.usd},
                                {"basis", basis_json(report.best[i].basis)},
                                {"why", report.why[i]}});
  }
  document["pareto"] = nlohmann::ordered_json::array();
  for (const FoundLayout& found : r.pareto) {
    document["pareto"].push_back({{"layout", layout_json(report.spec, found)},
                                  {"step_s", found.figures.step_s},
                                  {"memory_bytes", found.figures.memory_bytes},
                                  {"host_bytes", found.figures.host_bytes},
                                  {"nvme_bytes", found.figures.nvme_bytes}});
  }
  document["rejected"] = nlohmann::ordered_json::object();
  for (const auto& [reason, count] : r.rejected)
    document["rejected"][reason] = count;
  if (report.difference) {
    document["difference"] = {{"from", report.difference_from},
                              {"time", terms_json(report.difference->time)},
                              {"memory", terms_json(report.difference->memory)}};
  }
  return document;
}

}  // namespace tera::app
