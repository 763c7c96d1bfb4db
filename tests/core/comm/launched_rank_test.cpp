#include "core/comm/launched_rank.h"

#include <deque>
#include <map>
#include <string>

#include <gtest/gtest.h>

#include "tests/support/scoped_variable.h"

namespace tera::comm {
namespace {

// In an environment that has of launchers these alone.
std::optional<LaunchedRank> launched_with(const std::map<std::string, std::string>& variables) {
  std::deque<tera::test::ScopedVariable> environment;
  for (const char* name :
       {"OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE",
        "OMPI_COMM_WORLD_LOCAL_RANK", "SLURM_LOCALID", "MPI_LOCALRANKID", "PMI_RANK", "PMI_SIZE",
        "MPI_LOCALNRANKS", "PMIX_RANK", "SLURM_PROCID", "SLURM_STEP_NUM_TASKS",
        "SLURM_STEP_TASKS_PER_NODE", "SLURM_NODEID"}) {
    const auto found = variables.find(name);
    environment.emplace_back(
        name, found == variables.end() ? std::nullopt : std::optional(found->second));
  }
  return launched_rank();
}

void expect_place(const std::map<std::string, std::string>& variables, const LaunchedRank& want) {
  const std::optional<LaunchedRank> got = launched_with(variables);
  ASSERT_TRUE(got) << variables.begin()->first;
  EXPECT_EQ(got->rank, want.rank) << variables.begin()->first;
  EXPECT_EQ(got->size, want.size) << variables.begin()->first;
  EXPECT_EQ(got->local_size, want.local_size) << variables.begin()->first;
  EXPECT_EQ(got->local_rank, want.local_rank) << variables.begin()->first;
}

TEST(LaunchedRank, IsToldByEveryLauncher) {
  expect_place({{"OMPI_COMM_WORLD_RANK", "3"},
                {"OMPI_COMM_WORLD_SIZE", "8"},
                {"OMPI_COMM_WORLD_LOCAL_SIZE", "4"},
                {"OMPI_COMM_WORLD_LOCAL_RANK", "2"},
                {"PMIX_RANK", "3"}},
               {.rank = 3, .size = 8, .local_size = 4, .local_rank = 2});
  expect_place(
      {{"PMI_RANK", "1"}, {"PMI_SIZE", "2"}, {"MPI_LOCALNRANKS", "1"}, {"MPI_LOCALRANKID", "0"}},
      {.rank = 1, .size = 2, .local_size = 1, .local_rank = 0});
  expect_place({{"PMIX_RANK", "5"}}, {.rank = 5});
  // srun --mpi=pmix, and pmi2.
  expect_place({{"SLURM_PROCID", "6"}, {"SLURM_STEP_NUM_TASKS", "7"}, {"PMIX_RANK", "6"}},
               {.rank = 6, .size = 7});
  expect_place({{"SLURM_PROCID", "6"},
                {"SLURM_STEP_NUM_TASKS", "7"},
                {"SLURM_STEP_TASKS_PER_NODE", "7"},
                {"SLURM_NODEID", "0"},
                {"SLURM_LOCALID", "6"},
                {"PMI_RANK", "6"},
                {"PMI_SIZE", "7"}},
               {.rank = 6, .size = 7, .local_size = 7, .local_rank = 6});
}

TEST(LaunchedRank, OfAStepOfSlurmKnowsItsNeighbours) {
  for (const auto& [node, tasks] :
       std::map<std::string, int>{{"0", 2}, {"2", 2}, {"3", 1}, {"4", 4}, {"5", 0}, {"", 0}}) {
    expect_place({{"SLURM_PROCID", "0"},
                  {"SLURM_STEP_NUM_TASKS", "11"},
                  {"SLURM_STEP_TASKS_PER_NODE", "2(x3),1,4"},
                  {"SLURM_NODEID", node}},
                 {.rank = 0, .size = 11, .local_size = tasks});
  }
}

// mpirun begins its processes of other nodes by srun, one each.
TEST(LaunchedRank, IsThatOfTheInnermostLauncher) {
  const std::map<std::string, std::string> step = {{"SLURM_PROCID", "1"},
                                                   {"SLURM_STEP_NUM_TASKS", "2"}};
  std::map<std::string, std::string> inner = {{"OMPI_COMM_WORLD_RANK", "9"},
                                              {"OMPI_COMM_WORLD_SIZE", "16"}};
  inner.insert(step.begin(), step.end());
  expect_place(inner, {.rank = 9, .size = 16});
  inner = {{"PMI_RANK", "9"}, {"PMI_SIZE", "16"}};
  inner.insert(step.begin(), step.end());
  expect_place(inner, {.rank = 9, .size = 16});
}

TEST(LaunchedRank, IsNotThatOfAScriptOrOfNonsense) {
  EXPECT_FALSE(launched_with({}));
  EXPECT_FALSE(launched_with({{"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "4"}})) << "a batch script";
  for (const char* rank : {"", "x", "-1", "2", "1 ", "99999999999"}) {
    EXPECT_FALSE(launched_with({{"OMPI_COMM_WORLD_RANK", rank}, {"OMPI_COMM_WORLD_SIZE", "2"}}))
        << rank;
  }
  EXPECT_FALSE(launched_with({{"PMI_RANK", "1"}}));
  EXPECT_TRUE(launched_with({{"PMI_RANK", "0"}, {"PMI_SIZE", "1"}})->is_alone());
}

}  // namespace
}  // namespace tera::comm
