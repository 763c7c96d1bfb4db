#include "gui/models/run_facts.h"

#include <algorithm>
#include <cmath>

#include <QCoreApplication>
#include <QStringList>

#include "core/base/units.h"
#include "gui/text.h"

namespace tera::gui {
namespace {

QString tr(const char* text) {
  return QCoreApplication::translate("RunFacts", text);
}

}  // namespace

QString runFacts(const run::RunStatus& status, double now_s) {
  QStringList facts;
  if (status.num_steps > 0) {
    facts << tr("step %1 of %2")
                 .arg(qs(format_integer(status.step)), qs(format_integer(status.num_steps)));
  }
  if (status.step > 0 && !std::isnan(status.last_loss))
    facts << tr("loss %1").arg(status.last_loss, 0, 'f', 4);
  if (status.tokens_per_s > 0) facts << qs(format_rate(status.tokens_per_s, "tok/s"));
  if (status.alive && status.step > 0 && status.last_record_s > status.created_s) {
    // Of this run's own pace, start and pauses included: simple, and errs on the long side.
    const double perStep =
        (status.last_record_s - status.created_s) / static_cast<double>(status.step);
    const std::int64_t left = std::max<std::int64_t>(0, status.num_steps - status.step);
    facts << tr("about %1 left").arg(qs(format_seconds(perStep * static_cast<double>(left))));
  }
  if (status.last_record_s > 0 && status.alive)
    facts << tr("record %1 old").arg(qs(format_age(now_s - status.last_record_s)));
  return facts.join(QStringLiteral("  ·  "));
}

QString runStateText(run::RunState state) {
  using enum run::RunState;
  switch (state) {
    case created:
      return tr("○ created");
    case starting:
      return tr("◔ starting");
    case running:
      return tr("● running");
    case completed:
      return tr("✓ completed");
    case stopped:
      return tr("▲ stopped");
    case failed:
      return tr("■ failed");
    case died:
      return tr("■ died");
  }
  return {};
}

}  // namespace tera::gui
