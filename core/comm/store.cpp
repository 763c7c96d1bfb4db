#include "core/comm/store.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include <fmt/format.h>

#include "core/base/clock.h"
#include "core/base/error.h"

namespace tera::comm {
namespace {

// Ranks that start together are milliseconds apart, or seconds.
constexpr double kFirstPauseS = 1e-3;
constexpr double kLongestPauseS = 20e-3;

}  // namespace

std::string Store::wait_for(std::string_view name, double timeout_s) {
  const double end_s = monotonic_s() + timeout_s;
  for (double pause_s = kFirstPauseS;; pause_s = std::min(2 * pause_s, kLongestPauseS)) {
    if (std::optional<std::string> value = get(name)) return std::move(*value);
    const double left_s = end_s - monotonic_s();
    if (left_s <= 0)
      throw CommunicationError(
          fmt::format("{}: nobody set {} within {} s", text(), name, timeout_s));
    std::this_thread::sleep_for(std::chrono::duration<double>(std::min(pause_s, left_s)));
  }
}

bool MemoryStore::set(std::string_view name, std::string_view value) {
  const std::scoped_lock lock(mutex_);
  return values_.emplace(name, value).second;
}

std::optional<std::string> MemoryStore::get(std::string_view name) {
  const std::scoped_lock lock(mutex_);
  const auto found = values_.find(name);
  return found == values_.end() ? std::nullopt : std::optional(found->second);
}

}  // namespace tera::comm
