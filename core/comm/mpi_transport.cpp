// Ranks as processes of an MPI job.
#include <algorithm>
#include <memory>
#include <numeric>

#include <fmt/format.h>

#include "core/base/check.h"
#include "core/comm/mpi.h"
#include "core/comm/mpi_collectives.h"
#include "core/comm/mpi_greeting.h"
#include "core/comm/mpi_group.h"
#include "core/comm/mpi_process.h"

namespace tera::comm {
namespace {

class MpiTransport final : public Transport {
 public:
  MpiTransport(Group group, std::shared_ptr<MpiProcess> process, int number)
      : Transport(std::move(group)), group_(this->group(), std::move(process), number) {}

  void run(const Operation& operation) override {
    if (operation.kind == OperationKind::send) return send(operation.from, operation.peer);
    if (operation.kind == OperationKind::recv) return recv(operation.to, operation.peer);
    const std::vector<Parcel> parcels = parcels_of(group_, operation, scratch_);
    greet(group_, greetings_of(group_, operation), parcels, letters_);
    run_collective(group_, operation, parcels, scratch_);
  }

  std::unique_ptr<Transport> split(SplitRequest request, std::string axis) override {
    Greeting mine{.announced = {.kind = OperationKind::split, .split = request},
                  .group_number = group_.process().offer_group_number()};
    const std::vector<Greeting> greetings =
        greet(group_, std::vector(static_cast<std::size_t>(group_.size()), mine), {}, letters_);
    std::vector<SplitRequest> requests;
    int number = 0;
    for (const Greeting& each : greetings) {
      requests.push_back(each.announced.split);
      number = std::max(number, each.group_number);
    }
    // The same for all colors: they have no rank in common.
    group_.process().take_group_number(number);
    return std::make_unique<MpiTransport>(
        split_group(group(), requests, group_.rank(), std::move(axis)), group_.shared_process(),
        number);
  }

  void abort(std::string_view reason) noexcept override { group_.process().abort(reason); }

 private:
  void send(const Tensor& x, int to) {
    const MailHeader header = header_of(x);
    const auto* begin = reinterpret_cast<const std::byte*>(&header);
    const Place where = group_.place(OperationKind::send);
    group_.process().send_copy({begin, begin + sizeof header}, group_.world_rank(to),
                               group_.tag(MpiGroup::mail), where);
    if (x.num_bytes() > 0)
      group_.process().send_copy({bytes_of(x), bytes_of(x) + x.num_bytes()}, group_.world_rank(to),
                                 group_.tag(MpiGroup::mail), where);
  }

  void recv(const Tensor& x, int from) {
    const Place where = group_.place(OperationKind::recv);
    const auto receive = [&](void* to, std::int64_t bytes) {
      MpiProcess::Messages messages(group_.process());
      messages.receive(to, bytes, group_.world_rank(from), group_.tag(MpiGroup::mail));
      messages.wait(where);
    };
    MailHeader header;
    receive(&header, sizeof header);
    if (const std::string reason = mail_disagreement(group(), from, header, header_of(x));
        !reason.empty())
      group_.process().fail(reason);
    receive(bytes_of(x), x.num_bytes());
  }

  const MpiGroup group_;
  std::vector<std::byte> letters_;
  std::vector<std::byte> scratch_;
};

}  // namespace

bool has_mpi() {
  return true;
}

std::string mpi_library() {
  char text[MPI_MAX_LIBRARY_VERSION_STRING];
  int length = 0;
  MPI_Get_library_version(text, &length);
  const std::string whole(text, static_cast<std::size_t>(length));
  return whole.substr(0, whole.find_first_of(",\n"));
}

Result<std::unique_ptr<Communicator>> make_mpi_communicator(double timeout_s) {
  TERA_CHECK(timeout_s > 0, "an MPI job with timeout {} s", timeout_s);
  int started = 0;
  MPI_Initialized(&started);
  TERA_CHECK(started == 0, "MPI was started before in this process");
  try {
    const auto process = std::make_shared<MpiProcess>(timeout_s);
    Group world{.axis = "world", .ranks = {}, .rank = process->rank()};
    world.ranks.resize(static_cast<std::size_t>(process->size()));
    std::iota(world.ranks.begin(), world.ranks.end(), 0);
    return std::make_unique<Communicator>(
        std::make_unique<MpiTransport>(std::move(world), process, 0));
  } catch (const CommunicationError& error) {
    return fail(
        ErrorCode::failed, error.what(),
        "start the same teragpt on every computer, with mpirun of the MPI that it was built "
        "with: `teragpt doctor`");
  }
}

}  // namespace tera::comm
