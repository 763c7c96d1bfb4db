// The schedule a spec asks for: that of its layout, or one that a person wrote into a file.
#pragma once
#include <cstdint>
#include <string_view>

#include "core/base/result.h"
#include "core/plan/pipeline_schedule.h"

namespace tera::plan {

// Actions of a schedule that is written out, over all stages.
inline constexpr std::int64_t kMaxActions = 1'000'000;

// A step that has more, for `what` takes no more.
Error too_many_actions(std::string_view what, const PipelineShape& shape);

// Of layout.schedule_file where there is one (schedule_text.h), else make_schedule(spec). Errors: a
// file that cannot be read or does not pass check_schedule, naming line, column and action; steps
// of more than kMaxActions.
Result<PipelineSchedule> load_schedule(const spec::RunSpec& spec);

}  // namespace tera::plan
