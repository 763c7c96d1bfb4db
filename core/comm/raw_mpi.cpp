#include <limits>
#include <vector>

#include <mpi.h>

#include "core/base/check.h"
#include "core/comm/mpi.h"

namespace tera::comm {
namespace {

int count_of(std::int64_t elements) {
  TERA_CHECK(elements <= std::numeric_limits<int>::max(), "{} elements, MPI counts to 2^31",
             elements);
  return static_cast<int>(elements);
}

}  // namespace

void run_raw_mpi(const Operation& operation) {
  const Tensor& from = operation.from;
  const Tensor& to = operation.to;
  TERA_CHECK(from.dtype() == DType::f32 && operation.reduce == Reduce::sum,
             "{} of {}: only sums of f32 are measured beside MPI's", enum_name(operation.kind),
             dtype_name(from.dtype()));
  switch (operation.kind) {
    case OperationKind::all_reduce:
      MPI_Allreduce(MPI_IN_PLACE, to.view().data, count_of(to.num_elements()), MPI_FLOAT, MPI_SUM,
                    MPI_COMM_WORLD);
      return;
    case OperationKind::reduce_scatter:
      MPI_Reduce_scatter_block(from.view().data, to.view().data, count_of(to.num_elements()),
                               MPI_FLOAT, MPI_SUM, MPI_COMM_WORLD);
      return;
    case OperationKind::all_gather:
      MPI_Allgather(from.view().data, count_of(from.num_elements()), MPI_FLOAT, to.view().data,
                    count_of(from.num_elements()), MPI_FLOAT, MPI_COMM_WORLD);
      return;
    case OperationKind::all_to_all: {  // of equal blocks
      const int block = count_of(operation.send_rows.front() * (from.num_elements() / from.dim(0)));
      MPI_Alltoall(from.view().data, block, MPI_FLOAT, to.view().data, block, MPI_FLOAT,
                   MPI_COMM_WORLD);
      return;
    }
    case OperationKind::broadcast:
      MPI_Bcast(to.view().data, count_of(to.num_elements()), MPI_FLOAT, operation.peer,
                MPI_COMM_WORLD);
      return;
    default:
      TERA_CHECK(false, "{}: not measured beside MPI's", enum_name(operation.kind));
  }
}

}  // namespace tera::comm
