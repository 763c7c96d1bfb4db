// The message of a call that breaks a contract.
#pragma once
#include <stdexcept>
#include <string>

namespace tera::kernels::test {

template <class Call>
std::string message_of(Call&& call) {
  try {
    call();
  } catch (const std::invalid_argument& error) {
    return error.what();
  }
  return "no error";
}

}  // namespace tera::kernels::test
