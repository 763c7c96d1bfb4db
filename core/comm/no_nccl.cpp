// A build without NCCL.
#include "core/comm/nccl.h"

namespace tera::comm {
namespace {

tl::unexpected<Error> refused() {
  return fail(ErrorCode::unsupported, "this build of TeraGPT has no NCCL",
              "install the CUDA toolkit and NCCL 2.18 or later (libnccl-dev, or pip install "
              "nvidia-nccl-cu13) and build again");
}

}  // namespace

bool has_nccl() {
  return false;
}

std::string nccl_library() {
  return {};
}

Result<int> num_nccl_devices() {
  return refused();
}

Result<std::unique_ptr<NcclDevice>> make_nccl_device(int /*index*/) {
  return refused();
}

}  // namespace tera::comm
