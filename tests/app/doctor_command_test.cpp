// doctor: what it says of starting ranks as processes.
#include <cstdlib>
#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include "tests/app/run_program.h"
#include "tests/support/scoped_variable.h"
#include "tests/support/temp_dir.h"

namespace tera {
namespace {

using nlohmann::json;
using testing::AnyOf;
using testing::ContainsRegex;
using testing::HasSubstr;

class DoctorCommand : public testing::Test {
 protected:
  static json check(const std::string& name, int exit_code) {
    const test::ProgramResult result = test::run_teragpt({"doctor", "--json"});
    EXPECT_EQ(result.exit_code, exit_code) << result.out << result.err;
    const json document = json::parse(result.out);
    for (const json& check : document.at("checks")) {
      if (check.at("name") == name) return check;
    }
    throw std::runtime_error("no check of " + name);
  }
  const test::TempDir dir_;
};

TEST_F(DoctorCommand, TellsWhatStartsRanksAndWhatTheyShare) {
  const json mpi = check("MPI", 0);
  EXPECT_EQ(mpi.at("status"), "ok") << mpi;
  EXPECT_THAT(mpi.at("found").get<std::string>(), HasSubstr("; mpirun "));
  EXPECT_THAT(check("ranks", 0).at("found").get<std::string>(), HasSubstr("at full speed"));
  EXPECT_THAT(check("shared memory", 0).at("found").get<std::string>(), HasSubstr("/dev/shm"));
}

TEST_F(DoctorCommand, TellsWhetherNcclHasAGpu) {
  const json nccl = check("NCCL", 0);
  const std::string found = nccl.at("found");
  if (nccl.at("status") == "ok") {
    EXPECT_THAT(found, ContainsRegex("^NCCL [0-9.]+, CUDA runtime [0-9.]+; [0-9]+ GPUs?, one for"));
    return;
  }
  EXPECT_EQ(nccl.at("status"), "optional");
  EXPECT_THAT(found, AnyOf(HasSubstr("; NCCL: got no GPU ("), HasSubstr("has no NCCL")));
  EXPECT_THAT(nccl.at("hint").get<std::string>(), HasSubstr("train --transport nccl; "));
}

TEST_F(DoctorCommand, NamesAnMpirunThatIsAbsentOrOfAnotherMpi) {
  const std::string before = std::getenv("PATH");
  const test::ScopedVariable none("PATH", dir_.path());
  EXPECT_EQ(check("MPI", 0).at("status"), "optional");
  EXPECT_THAT(check("MPI", 0).at("hint").get<std::string>(), HasSubstr("threads of one process"));
  std::ofstream(dir_ / "mpirun") << "#!/bin/sh\necho 'HYDRA build details: Version: 4.0.2'\n";
  std::filesystem::permissions(dir_ / "mpirun", std::filesystem::perms::owner_all);
  const test::ScopedVariable first("PATH", dir_.path().string() + ":" + before);
  const json other = check("MPI", 1);
  EXPECT_EQ(other.at("status"), "missing");
  EXPECT_THAT(other.at("found").get<std::string>(), HasSubstr("HYDRA"));
}

}  // namespace
}  // namespace tera
