#include "core/run/start_watch.h"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <span>

#include <fmt/format.h>

#include "core/base/clock.h"

namespace tera::run {
namespace {

constexpr std::string_view kBeat = ".";
constexpr std::uint64_t kMaxBytes = 1 << 20;

// Ten in the time that silence may last: a busy computer delays some of them.
double beat_interval_s(double timeout_s) {
  return std::clamp(timeout_s / 10, 0.02, 5.0);
}

std::filesystem::path start_file(const RunDirectory& dir, int attempt, int rank) {
  return dir.launch_dir(attempt) / fmt::format("start-{:05}", rank);
}

Result<void> append(Vfs& vfs, const std::filesystem::path& file, std::string_view text) {
  TERA_TRY(const std::unique_ptr<WritableFile> out, vfs.open_write(file, Vfs::Mode::append));
  TERA_TRY_VOID(out->append(std::as_bytes(std::span(text))));
  return out->close();
}

}  // namespace

RankPulse::RankPulse(const RunDirectory& dir, int attempt, int rank, double timeout_s)
    : vfs_(dir.vfs()), file_(start_file(dir, attempt, rank)) {
  thread_ = std::jthread([this, timeout_s](const std::stop_token& stop) {
    const std::chrono::duration<double> interval(beat_interval_s(timeout_s));
    std::mutex mutex;
    std::condition_variable_any never;
    std::unique_lock lock(mutex);
    do {
      beat();
      never.wait_for(lock, stop, interval, [] { return false; });
    } while (!stop.stop_requested());
  });
}

RankPulse::~RankPulse() {
  thread_.request_stop();
  thread_.join();
  static_cast<void>(vfs_.remove_all(file_));
}

void RankPulse::beat() {
  static_cast<void>(append(vfs_, file_, kBeat));
}

Result<StartWatch> StartWatch::begin(const RunDirectory& dir,
                                     int attempt,
                                     int num_ranks,
                                     double timeout_s) {
  StartWatch watch(dir, attempt, timeout_s);
  TERA_TRY_VOID(make_dirs(dir.vfs(), dir.launch_dir(attempt)));
  for (int rank = 0; rank < num_ranks; ++rank) {
    const std::filesystem::path file = start_file(dir, attempt, rank);
    TERA_TRY_VOID(append(dir.vfs(), file, {}));
    watch.ranks_.push_back({.number = rank, .file = file, .since_s = monotonic_s()});
  }
  return watch;
}

bool StartWatch::train() const {
  const Result<LockHolder> holder = lock_holder(dir_);
  return holder && holder->held && holder->attempt == attempt_;
}

void StartWatch::look_at(Rank& rank, double now_s) {
  const Result<std::string> said = read_text(dir_.vfs(), rank.file, kMaxBytes);
  rank.is_together = !said && said.error().code == ErrorCode::not_found;
  some_are_together_ = some_are_together_ || rank.is_together;
  if (!said || *said == rank.said) return;
  if (rank.said.empty()) last_came_s_ = now_s;
  rank.said = *said;
  rank.since_s = now_s;
}

std::optional<LostRanks> StartWatch::lost() {
  const double now_s = monotonic_s();
  if (ranks_.empty() || now_s < next_look_s_) return std::nullopt;
  next_look_s_ = now_s + beat_interval_s(timeout_s_) / 2;
  if (train()) {
    ranks_.clear();
    return std::nullopt;
  }
  for (Rank& rank : ranks_)
    look_at(rank, now_s);
  std::erase_if(ranks_, [](const Rank& rank) { return rank.is_together; });
  LostRanks lost{.silent = {}, .timeout_s = timeout_s_};
  for (const Rank& rank : ranks_) {
    if (now_s - rank.since_s > timeout_s_) lost.silent.push_back(rank.number);
  }
  if (!lost.silent.empty()) return lost;
  const bool all_came = std::all_of(ranks_.begin(), ranks_.end(),
                                    [](const Rank& rank) { return !rank.said.empty(); });
  if (some_are_together_ || !all_came || now_s - last_came_s_ <= timeout_s_) return std::nullopt;
  return lost;
}

}  // namespace tera::run
