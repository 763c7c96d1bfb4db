// What a run says about itself in one line, and how each state is written.
#pragma once
#include <QString>

#include "core/run/run_state.h"

namespace tera::gui {

// "step 12 of 200  ·  loss 5.2142  ·  12.3 ktok/s  ·  about 1 min 5 s left  ·  record 2 s old".
// now_s: seconds since the epoch. What is not known is left out.
QString runFacts(const run::RunStatus& status, double now_s);

// "● running", "✓ completed", "▲ stopped", "■ failed", "○ created": shape and word.
QString runStateText(run::RunState state);

}  // namespace tera::gui
