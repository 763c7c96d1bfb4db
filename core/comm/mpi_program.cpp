#include "core/comm/mpi_program.h"

#include <algorithm>
#include <array>
#include <filesystem>
#include <fstream>
#include <span>
#include <vector>

#include <unistd.h>

#include "core/base/hash.h"
#include "core/comm/mpi_calls.h"

namespace tera::comm {
namespace {

struct Program {
  std::uint64_t hash = 0;
  std::array<char, 256> where = {};  // computer and path, cut short
};

Program this_program() {
  Program program;
  std::ifstream file("/proc/self/exe", std::ios::binary);
  Xxh3 hash;
  std::vector<char> chunk(1 << 20);
  while (file.read(chunk.data(), std::ssize(chunk)) || file.gcount() > 0)
    hash.update(std::as_bytes(std::span(chunk.data(), static_cast<std::size_t>(file.gcount()))));
  program.hash = hash.value();
  std::array<char, 64> host = {};
  ::gethostname(host.data(), host.size() - 1);
  std::error_code unknown;
  const std::filesystem::path path = std::filesystem::read_symlink("/proc/self/exe", unknown);
  const std::string where = fmt::format("{}:{}", host.data(), path.string());
  where.copy(program.where.data(), program.where.size() - 1);
  return program;
}

}  // namespace

void require_same_program(MPI_Comm all) {
  int size = 0;
  MPI_Comm_size(all, &size);
  const Program mine = this_program();
  std::vector<Program> programs(static_cast<std::size_t>(size));
  check(MPI_Allgather(&mine, sizeof mine, MPI_BYTE, programs.data(), sizeof mine, MPI_BYTE, all),
        "MPI_Allgather");
  const auto other = std::find_if(programs.begin(), programs.end(), [&](const Program& each) {
    return each.hash != programs.front().hash;
  });
  if (other == programs.end()) return;
  MPI_Finalize();
  throw CommunicationError(fmt::format("rank {} runs another program ({}) than rank 0 ({})",
                                       other - programs.begin(), other->where.data(),
                                       programs.front().where.data()));
}

}  // namespace tera::comm
