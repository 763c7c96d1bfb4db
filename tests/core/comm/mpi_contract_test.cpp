// The contract on processes: every rank that mpirun started runs this program.
#include <memory>

#include <gtest/gtest.h>

#include "core/comm/mpi.h"
#include "tests/core/comm/contract.h"

namespace tera::comm {
namespace {

class MpiJob : public testing::Environment {
 public:
  void SetUp() override {
    Result<std::unique_ptr<Communicator>> made = make_mpi_communicator(30);
    ASSERT_TRUE(made) << made.error().message;
    world() = std::move(*made);
  }
  void TearDown() override { world().reset(); }
  static std::unique_ptr<Communicator>& world() {
    static std::unique_ptr<Communicator> communicator;
    return communicator;
  }
};
const auto* const kJob = testing::AddGlobalTestEnvironment(new MpiJob);

class MpiContract : public testing::TestWithParam<test::ContractCase> {};

TEST_P(MpiContract, Holds) {
  // A rank that fails here goes on to the next case with the others.
  GetParam().body(*MpiJob::world());
}

std::string case_name(const testing::TestParamInfo<test::ContractCase>& contract) {
  return contract.param.name;
}
INSTANTIATE_TEST_SUITE_P(Processes,
                         MpiContract,
                         testing::ValuesIn(test::contract_cases().begin(),
                                           test::contract_cases().end()),
                         case_name);

}  // namespace
}  // namespace tera::comm
