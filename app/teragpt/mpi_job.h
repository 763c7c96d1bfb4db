// How this program starts itself as the ranks of an MPI job.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "core/base/result.h"

namespace tera::app {

struct MpiJob {
  std::vector<std::string> argv;
  std::vector<std::pair<std::string, std::string>> environment;
  std::vector<std::string> reasons;  // a sentence for each setting that a person may wonder about

  std::string command() const;  // as typed into a shell
};

// `num_ranks` times this program with `arguments`: on the computers of a hostfile, which see it at
// the same path, or on this one where that is empty. An error says what to install.
Result<MpiJob> make_mpi_job(int num_ranks,
                            const std::vector<std::string>& arguments,
                            const std::string& hostfile = {});

}  // namespace tera::app
