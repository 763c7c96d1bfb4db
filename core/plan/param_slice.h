// Which part of each tensor a rank holds: what a rank's store, its optimizer and its checkpoints
// are made of. ZeRO is not in it (param_buckets.h).
#pragma once
#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include "core/plan/param_table.h"
#include "core/plan/rank_mesh.h"
#include "core/spec/run_spec.h"

namespace tera::plan {

// Elements in row-major order: `count` side by side, `repeats` times, from `global` on in the whole
// tensor and from `local` on in the part.
struct SliceRun {
  std::int64_t global = 0;
  std::int64_t local = 0;
  std::int64_t count = 0;
  std::int64_t repeats = 1;
  std::int64_t global_step = 0;  // from one repeat to the next
  std::int64_t local_step = 0;
  bool first = true;  // this rank is the first of its replica that holds them: what counts each
                      // element once counts them here
};

struct ParamSlice {
  std::vector<std::int64_t> shape;      // of the part, padding included
  std::vector<std::int64_t> row_parts;  // of the part: ParamSpec::row_parts
  std::vector<SliceRun> runs;           // no element twice; padding is in none

  std::int64_t num_elements() const;
  // visit(global, local, count, first) for all elements side by side.
  template <class Visit>
  void for_each(const Visit& visit) const {
    for (const SliceRun& run : runs) {
      for (std::int64_t i = 0; i < run.repeats; ++i)
        visit(run.global + i * run.global_step, run.local + i * run.local_step, run.count,
              run.first);
    }
  }
  // visit() as above for what of them is in [begin, end) of the part.
  template <class Visit>
  void for_each_in(std::int64_t begin, std::int64_t end, const Visit& visit) const {
    for (const SliceRun& run : runs) {
      const auto repeat_of = [&run](std::int64_t local) {
        return run.repeats == 1 ? 0
                                : std::clamp<std::int64_t>((local - run.local) / run.local_step, 0,
                                                           run.repeats - 1);
      };
      if (end <= run.local) continue;
      for (std::int64_t i = repeat_of(begin); i <= repeat_of(end - 1); ++i) {
        const std::int64_t local = run.local + i * run.local_step;
        const std::int64_t from = std::max(begin, local);
        const std::int64_t count = std::min(end, local + run.count) - from;
        if (count > 0)
          visit(run.global + i * run.global_step + from - local, from, count, run.first);
      }
    }
  }
  // [begin, end) of the part that count here: ascending, apart from each other.
  std::vector<std::pair<std::int64_t, std::int64_t>> first_ranges() const;
};

ParamSlice slice_of(const ParamSpec& param, const RankMesh& mesh, int rank);
ParamSlice whole_slice(const ParamSpec& param);

struct LocalParam {
  ParamSpec spec;  // global
  ParamSlice slice;

  // What the rank holds, as if it were a tensor of its own.
  ParamSpec local() const;
};
using LocalTable = std::vector<LocalParam>;

// What a rank holds, in the order of the model's table. The embedding matrix is there too where it
// is a copy (placement.h, copies_embedding); it counts on the stage with the embedding.
LocalTable local_table(const spec::RunSpec& spec, const RankMesh& mesh, int rank);
// Of a rank that holds everything.
LocalTable whole_table(ParamTable table);

}  // namespace tera::plan
