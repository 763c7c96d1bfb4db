#include "core/comm/launched_rank.h"

#include <charconv>
#include <cstdlib>
#include <string_view>

namespace tera::comm {
namespace {

// At the beginning of the text, which loses it.
std::optional<int> take_number(std::string_view& text) {
  int number = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  if (parsed.ec != std::errc() || number < 0) return std::nullopt;
  text.remove_prefix(static_cast<std::size_t>(parsed.ptr - text.data()));
  return number;
}

std::optional<int> number_in_environment(const char* name) {
  const char* value = std::getenv(name);
  std::string_view text(value == nullptr ? "" : value);
  const std::optional<int> number = take_number(text);
  return text.empty() ? number : std::nullopt;
}

// Of "2(x3),1", two tasks on each of three nodes and one on a fourth, those on this node.
int tasks_of_this_node() {
  const char* value = std::getenv("SLURM_STEP_TASKS_PER_NODE");
  std::optional<int> nodes_before = number_in_environment("SLURM_NODEID");
  if (value == nullptr || !nodes_before) return 0;
  for (std::string_view text(value); const std::optional<int> tasks = take_number(text);) {
    int nodes = 1;
    if (text.starts_with("(x")) {
      text.remove_prefix(2);
      nodes = take_number(text).value_or(1);
      text.remove_prefix(text.starts_with(')') ? 1 : 0);
    }
    if (*nodes_before < nodes) return *tasks;
    *nodes_before -= nodes;
    text.remove_prefix(text.starts_with(',') ? 1 : 0);
  }
  return 0;
}

std::optional<LaunchedRank> place_in(const char* rank_name, const char* size_name) {
  const std::optional<int> rank = number_in_environment(rank_name);
  const std::optional<int> size = number_in_environment(size_name);
  if (!rank || !size || *rank >= *size) return std::nullopt;
  return LaunchedRank{.rank = *rank, .size = *size};
}

}  // namespace

// Where one launcher started another, that of the processes comes first: mpirun starts a step of
// srun with a process of its own on each node.
std::optional<LaunchedRank> launched_rank() {
  if (std::optional<LaunchedRank> place =
          place_in("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE")) {
    place->local_size = number_in_environment("OMPI_COMM_WORLD_LOCAL_SIZE").value_or(0);
    place->local_rank = number_in_environment("OMPI_COMM_WORLD_LOCAL_RANK").value_or(-1);
    return place;
  }
  std::optional<LaunchedRank> step = place_in("SLURM_PROCID", "SLURM_STEP_NUM_TASKS");
  if (step) {
    step->local_size = tasks_of_this_node();
    step->local_rank = number_in_environment("SLURM_LOCALID").value_or(-1);
  }
  if (const std::optional<LaunchedRank> place = place_in("PMI_RANK", "PMI_SIZE")) {
    if (step && step->rank == place->rank && step->size == place->size) return step;
    return LaunchedRank{.rank = place->rank,
                        .size = place->size,
                        .local_size = number_in_environment("MPI_LOCALNRANKS").value_or(0),
                        .local_rank = number_in_environment("MPI_LOCALRANKID").value_or(-1)};
  }
  if (step) return step;
  if (const std::optional<int> rank = number_in_environment("PMIX_RANK"))
    return LaunchedRank{.rank = *rank};
  return std::nullopt;
}

}  // namespace tera::comm
