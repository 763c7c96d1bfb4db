// A reader that tails while a writer appends in pieces that know nothing of lines.
#include <atomic>
#include <chrono>
#include <random>
#include <thread>

#include "core/base/vfs.h"
#include "core/run/metric_stream.h"
#include "tests/core/run/temp_dir.h"

namespace tera::run {
namespace {

class MetricTail : public test::TempDirTest {};

TEST_F(MetricTail, SeesEveryRecordByteForByteWhileItIsWritten) {
  std::string text;
  std::mt19937 random(21);
  constexpr std::int64_t kRecords = 3000;
  for (std::int64_t step = 1; step <= kRecords; ++step) {
    MetricRecord record;
    record.time_s = 1.0e9 + static_cast<double>(step) / 7;
    record.step = step;
    record.values = {{"loss", static_cast<double>(random()) / 3e9},
                     {"grad_norm", 1.0 / static_cast<double>(step)}};
    record.expert_layers = {0};
    record.expert_load = {{static_cast<double>(random() % 99), 2}};
    text += to_json_line(record);
  }
  std::atomic<bool> done{false};
  std::thread writer([&] {
    const auto file = posix_vfs().open_write(dir_ / "run.a001.jsonl", Vfs::Mode::append);
    std::mt19937 sizes(22);
    std::string_view rest = text;
    while (!rest.empty()) {
      const std::string_view piece = rest.substr(0, 1 + sizes() % 700);
      static_cast<void>((*file)->append(std::as_bytes(std::span(piece.data(), piece.size()))));
      rest.remove_prefix(piece.size());
      if (sizes() % 20 == 0) std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
    done = true;
  });
  MetricReader reader(dir_);
  std::string seen;
  std::int64_t polls_with_news = 0;
  for (bool last = false; !last;) {
    last = done.load();  // before the poll, so that the last poll sees everything
    const Result<MetricReader::Update> update = reader.poll();
    ASSERT_TRUE(update) << update.error().message;
    EXPECT_TRUE(update->problems.empty()) << update->problems.front();
    EXPECT_EQ(update->replaced_from_step, -1);
    for (const MetricRecord& record : update->records)
      seen += to_json_line(record);
    polls_with_news += update->records.empty() ? 0 : 1;
  }
  writer.join();
  EXPECT_EQ(seen, text);
  EXPECT_GT(polls_with_news, 1) << "reader and writer overlapped";
}

}  // namespace
}  // namespace tera::run
