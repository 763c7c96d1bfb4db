// bench comm: its rows on threads and MPI processes, what it refuses, and how it ends.
#include <csignal>
#include <map>
#include <set>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "tests/app/run_program.h"

namespace tera {
namespace {

using nlohmann::json;
using test::ProgramResult;
using test::run_teragpt;
using test::RunningTeragpt;
using testing::HasSubstr;

TEST(BenchComm, PutsEachCollectiveBesideMemoryAndMpi) {
  // A size that three ranks do not share evenly, and one with less than an element for each.
  const ProgramResult measured = run_teragpt(
      {"bench", "comm", "--ranks", "3", "--bytes", "1000", "4", "--seconds", "0", "--json"});
  ASSERT_EQ(measured.exit_code, 0) << measured.err;
  const json report = json::parse(measured.out);
  const double peak = report.at("peak_memory_bytes_per_s");
  // Tensors read and written by three ranks: see the verb's --help.
  const std::map<std::string, double> tensors_moved = {{"all_reduce", 6},
                                                       {"reduce_scatter", 4},
                                                       {"all_gather", 4},
                                                       {"all_to_all", 6},
                                                       {"broadcast", 3}};
  std::set<std::string> transports;
  std::set<std::string> operations;
  for (const json& row : report.at("rows")) {
    transports.insert(row.at("transport"));
    operations.insert(row.at("operation"));
    EXPECT_EQ(row.at("ranks"), 3);
    const double bytes = row.at("bytes");
    EXPECT_TRUE(bytes == 996 || bytes == 12) << row;
    const double moves = row.at("moved_bytes").get<double>() / bytes;
    EXPECT_EQ(moves, tensors_moved.at(row.at("operation"))) << row;
    const double rate = row.at("moved_bytes").get<double>() / row.at("call_s").get<double>();
    EXPECT_DOUBLE_EQ(row.at("bytes_per_s"), rate);
    EXPECT_DOUBLE_EQ(row.at("share_of_peak"), rate / peak);
    EXPECT_EQ(row.contains("beside"), row.at("transport") == "mpi");
    if (row.contains("beside")) {
      EXPECT_DOUBLE_EQ(row["beside"].at("speed"),
                       row["beside"].at("call_s").get<double>() / row.at("call_s").get<double>());
    }
  }
  EXPECT_EQ(operations, (std::set<std::string>{"all_reduce", "reduce_scatter", "all_gather",
                                               "all_to_all", "broadcast"}));
  const bool has_mpi = report.contains("mpi_command");
  EXPECT_NE(has_mpi, report.contains("mpi_missing"));
  EXPECT_EQ(transports.contains("mpi"), has_mpi);
  const bool has_nccl = report.contains("nccl_command");  // a GPU for each of three ranks
  EXPECT_NE(has_nccl, report.contains("nccl_missing"));
  EXPECT_EQ(transports.contains("nccl"), has_nccl);
  EXPECT_EQ(report.at("rows").size(), 10U * (1U + (has_mpi ? 1U : 0U) + (has_nccl ? 1U : 0U)));
  if (!has_mpi) return;
  EXPECT_THAT(report.at("mpi_command").get<std::string>(), HasSubstr("mpirun --bind-to none"));
}

TEST(BenchComm, MeasuresTheTransportsThatWereNamed) {
  std::vector<std::string> arguments = {"bench", "comm", "--bytes", "4096", "--seconds", "0"};
  arguments.insert(arguments.end(), {"--json", "--ranks", "64", "--transport"});
  const auto with = [&arguments](const char* transport) {
    std::vector<std::string> all = arguments;
    all.emplace_back(transport);
    return run_teragpt(all);
  };
  const ProgramResult threads = with("threads");
  ASSERT_EQ(threads.exit_code, 0) << threads.err;
  const json report = json::parse(threads.out);
  EXPECT_EQ(report.at("rows").size(), 5U);
  EXPECT_FALSE(report.contains("mpi_command") || report.contains("mpi_missing"));
  EXPECT_FALSE(report.contains("nccl_command") || report.contains("nccl_missing"));
  const ProgramResult nccl = with("nccl");  // no computer has as many GPUs
  EXPECT_EQ(nccl.exit_code, 2);
  EXPECT_THAT(nccl.err, HasSubstr("NCCL"));
  EXPECT_THAT(nccl.err, HasSubstr("\nhint:  "));
}

TEST(BenchComm, CtrlCEndsItAfterTheRowAtHand) {
  RunningTeragpt program({"bench", "comm", "--bytes", "4096", "8192", "--seconds", "1"},
                         RunningTeragpt::Output::pipe);
  const auto next_is_row = [&] { return program.read_line().value_or("").starts_with("threads "); };
  ASSERT_TRUE(program.read_line());  // what is measured
  ASSERT_TRUE(next_is_row());
  program.send(SIGINT);
  int rows = 0;
  while (next_is_row())
    ++rows;
  EXPECT_LE(rows, 1);
  EXPECT_EQ(program.wait(), 1);
}

TEST(BenchComm, RefusesWrongArguments) {
  const auto error_of = [](std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), {"bench", "comm"});
    const ProgramResult refused = run_teragpt(arguments);
    EXPECT_EQ(refused.exit_code, 2);
    EXPECT_EQ(refused.out, "");
    return refused.err;
  };
  EXPECT_THAT(error_of({"--ranks", "0"}),
              HasSubstr("--ranks: got '0', expected a whole number from 1 to 64"));
  EXPECT_THAT(error_of({"--bytes", "4096", "3"}), HasSubstr("--bytes: got '3', expected"));
  EXPECT_THAT(error_of({"--bytes", "64MiB"}), HasSubstr("--bytes: got '64MiB', expected"));
  EXPECT_THAT(error_of({"--seconds", "-1"}), HasSubstr("--seconds: got '-1', expected"));
  EXPECT_THAT(error_of({"--transport", "tcp"}), HasSubstr("--transport"));
  EXPECT_THAT(error_of({"--sizes", "4"}), HasSubstr("--sizes"));
}

}  // namespace
}  // namespace tera
