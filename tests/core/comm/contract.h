// What every communicator promises, as bodies that each rank of a world runs. They expect with
// GoogleTest's macros, on threads of one process as in processes of their own.
#pragma once
#include <span>

#include "core/comm/communicator.h"

namespace tera::comm::test {

struct ContractCase {
  const char* name;
  void (*body)(Communicator& world);
};

std::span<const ContractCase> contract_cases();

}  // namespace tera::comm::test
