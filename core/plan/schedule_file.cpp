#include "core/plan/schedule_file.h"

#include <string>

#include <fmt/format.h>

#include "core/base/counted.h"
#include "core/base/units.h"
#include "core/base/vfs.h"
#include "core/plan/schedule_text.h"

namespace tera::plan {

Error too_many_actions(std::string_view what, const PipelineShape& shape) {
  return {ErrorCode::invalid_input,
          fmt::format("{}: {} on {} are more than {} actions", what,
                      counted(shape.num_micro_batches, "micro-batch", "es"),
                      counted(shape.num_stages, "stage"), format_integer(kMaxActions)),
          "lower training.global_batch_size"};
}

Result<PipelineSchedule> load_schedule(const spec::RunSpec& spec) {
  const std::string& file = spec.layout.schedule_file;
  if (file.empty()) return make_schedule(spec);
  const PipelineShape shape = pipeline_shape(spec);
  if (2 * shape.num_links() * shape.num_micro_batches > kMaxActions) {
    return tl::unexpected<Error>(too_many_actions("layout.schedule_file", shape));
  }
  constexpr std::uint64_t kMaxBytes = 1U << 26;
  TERA_TRY(const std::string text, read_text(posix_vfs(), file, kMaxBytes));
  return parse_schedule(text, shape, file);
}

}  // namespace tera::plan
