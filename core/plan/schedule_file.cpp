#include "core/plan/schedule_file.h"

#include <string>

#include <fmt/format.h>

#include "core/base/counted.h"
#include "core/base/units.h"
#include "core/base/vfs.h"
#include "core/plan/schedule_text.h"

namespace tera::plan {

Result<PipelineSchedule> load_schedule(const spec::RunSpec& spec) {
  const std::string& file = spec.layout.schedule_file;
  if (file.empty()) return make_schedule(spec);
  const PipelineShape shape = pipeline_shape(spec);
  if (2 * shape.num_links() * shape.num_micro_batches > kMaxActions) {
    return fail(ErrorCode::invalid_input,
                fmt::format("layout.schedule_file: {} on {} are more than {} actions",
                            counted(shape.num_micro_batches, "micro-batch", "es"),
                            counted(shape.num_stages, "stage"), format_integer(kMaxActions)),
                "lower training.global_batch_size");
  }
  constexpr std::uint64_t kMaxBytes = 1U << 26;
  TERA_TRY(const std::string text, read_text(posix_vfs(), file, kMaxBytes));
  return parse_schedule(text, shape, file);
}

}  // namespace tera::plan
