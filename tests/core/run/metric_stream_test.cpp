#include "core/run/metric_stream.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "core/base/error.h"
#include "core/base/fault_vfs.h"
#include "tests/core/run/temp_dir.h"

namespace tera::run {
namespace {

MetricRecord make_record(std::int64_t step, int attempt = 1) {
  MetricRecord record;
  record.time_s = 1760000000.125 + static_cast<double>(step);
  record.attempt = attempt;
  record.step = step;
  record.values = {{"loss", 5.0 / static_cast<double>(step + 1)},
                   {"tokens", 128.0 * static_cast<double>(step)}};
  record.expert_layers = {1, 3};
  record.expert_load = {{1, 2.5, 0}, {4, 0, 0.125}};
  record.data_chain = "00ff00ff00ff00ff00ff00ff00ff00ff";
  return record;
}

std::vector<std::int64_t> steps_of(const std::vector<MetricRecord>& records) {
  std::vector<std::int64_t> steps;
  for (const MetricRecord& record : records)
    steps.push_back(record.step);
  return steps;
}
using Steps = std::vector<std::int64_t>;

TEST(MetricRecord, ReadsBackToTheSameBits) {
  std::mt19937_64 random(5);
  for (int round = 0; round < 3000; ++round) {
    MetricRecord record = make_record(round);
    std::uint64_t bits = random();
    double value = 0;
    std::memcpy(&value, &bits, sizeof(value));
    record.values.front().second = value;
    const std::string line = to_json_line(record);
    ASSERT_EQ(line.find('\n'), line.size() - 1);
    const Result<MetricRecord> read = parse_json_line(line);
    ASSERT_TRUE(read) << line << read.error().message;
    const double back = read->value("loss", 0);
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(back));
    } else {
      std::uint64_t back_bits = 0;
      std::memcpy(&back_bits, &back, sizeof(back));
      ASSERT_EQ(back_bits, bits) << line;
      EXPECT_EQ(*read, record);
    }
    EXPECT_EQ(to_json_line(*read), line);
  }
}

TEST(MetricRecord, SpecialValuesAreWordsAndZeroKeepsItsSign) {
  MetricRecord record = make_record(1);
  record.values = {{"loss", std::numeric_limits<double>::quiet_NaN()},
                   {"grad_norm", std::numeric_limits<double>::infinity()},
                   {"eval_loss", -std::numeric_limits<double>::infinity()},
                   {"z_loss", -0.0}};
  const std::string line = to_json_line(record);
  for (const char* part : {R"("loss":"NaN")", R"("grad_norm":"Infinity")",
                           R"("eval_loss":"-Infinity")", R"("z_loss":-0.0)"})
    EXPECT_NE(line.find(part), std::string::npos) << line;
  const Result<MetricRecord> read = parse_json_line(line);
  ASSERT_TRUE(read);
  EXPECT_TRUE(std::isnan(read->value("loss", 0)));
  EXPECT_TRUE(std::signbit(read->value("z_loss", 1)));
  EXPECT_EQ(read->value("eval_loss", 0), -std::numeric_limits<double>::infinity());
  EXPECT_TRUE(read->has("grad_norm"));
  EXPECT_FALSE(read->has("tokens"));
  EXPECT_EQ(read->value("tokens", -1), -1);
}

TEST(MetricRecord, UnknownMembersAreLeftOut) {
  const Result<MetricRecord> read = parse_json_line(
      R"({"time_s":1,"attempt":2,"rank":0,"step":3,"loss":4,"of_the_future":{"a":[1]},"note":"x"})");
  ASSERT_TRUE(read);
  EXPECT_EQ(read->values, (std::vector<std::pair<std::string, double>>{{"loss", 4.0}}));
}

TEST(MetricRecord, MalformedLinesSayWhatIsWrong) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"", "object"},
      {"[1]", "object"},
      {R"({"time_s":1,"attempt":1})", "step"},
      {R"({"time_s":1,"attempt":1,"step":-1})", "step"},
      {R"({"time_s":1,"attempt":1,"step":1.5})", "step"},
      {R"({"time_s":1,"attempt":1,"step":18446744073709551615})", "step"},
      {R"({"time_s":1,"attempt":0,"step":1})", "attempt"},
      {R"({"time_s":"x","attempt":1,"step":1})", "time_s"},
      {R"({"time_s":1,"attempt":1,"step":1,"loss":"high"})", "loss"},
      {R"({"time_s":1,"attempt":1,"step":1,"loss":1e999})", "object"},
      {R"({"time_s":1,"attempt":1,"step":1,"expert_load":[1]})", "expert_load"},
      {R"({"time_s":1,"attempt":1,"step":1,"expert_load":[[1]]})", "expert_layers"},
      {R"({"time_s":1,"attempt":1,"step":1,"expert_load":[[1]],"expert_layers":[-1]})",
       "expert_layers"},
      {std::string(100000, '['), "object"},
  };
  for (const auto& [line, part] : cases) {
    const Result<MetricRecord> read = parse_json_line(line);
    ASSERT_FALSE(read) << line.substr(0, 100);
    EXPECT_NE(read.error().message.find(part), std::string::npos) << read.error().message;
  }
}

class MetricStream : public test::TempDirTest {
 protected:
  static std::string lines(std::int64_t first, std::int64_t last, int attempt = 1) {
    std::string text;
    for (std::int64_t step = first; step <= last; ++step)
      text += to_json_line(make_record(step, attempt));
    return text;
  }
  static MetricReader::Update poll(MetricReader& reader) {
    Result<MetricReader::Update> update = reader.poll();
    EXPECT_TRUE(update) << update.error().message;
    return update ? *update : MetricReader::Update{};
  }
};

TEST_F(MetricStream, WritesWholeLinesInOneAppendEach) {
  FaultVfs vfs;
  Result<MetricWriter> writer = MetricWriter::open(vfs, dir_ / "run.a001.jsonl");
  ASSERT_TRUE(writer);
  ASSERT_TRUE(writer->write(make_record(1)));
  ASSERT_TRUE(writer->write(make_record(2)));
  ASSERT_TRUE(writer->sync());
  std::int64_t appends = 0;
  for (const FaultVfs::Operation& operation : vfs.operations())
    appends += operation.kind == FaultVfs::Kind::append ? 1 : 0;
  EXPECT_EQ(appends, 2);
  MetricReader reader(dir_);
  EXPECT_EQ(poll(reader).records, (std::vector<MetricRecord>{make_record(1), make_record(2)}));
}

TEST_F(MetricStream, AnUnknownMetricIsABug) {
  Result<MetricWriter> writer = MetricWriter::open(posix_vfs(), dir_ / "run.a001.jsonl");
  ASSERT_TRUE(writer);
  MetricRecord record = make_record(1);
  record.values.emplace_back("lossy", 1);
  EXPECT_THROW(static_cast<void>(writer->write(record)), ContractError);
  record = make_record(1);
  record.expert_layers.pop_back();
  EXPECT_THROW(static_cast<void>(writer->write(record)), ContractError);
  EXPECT_EQ(std::filesystem::file_size(dir_ / "run.a001.jsonl"), 0U);
}

TEST_F(MetricStream, AWriterEndsTheTornLineOfADeadOne) {
  write("run.a001.jsonl", lines(1, 1) + R"({"time_s":17)");
  Result<MetricWriter> writer = MetricWriter::open(posix_vfs(), dir_ / "run.a001.jsonl");
  ASSERT_TRUE(writer);
  ASSERT_TRUE(writer->write(make_record(2)));
  MetricReader reader(dir_);
  const MetricReader::Update update = poll(reader);
  EXPECT_EQ(steps_of(update.records), (Steps{1, 2}));
  ASSERT_EQ(update.problems.size(), 1U);
  EXPECT_NE(update.problems.front().find("run.a001.jsonl:2:"), std::string::npos)
      << update.problems.front();
}

TEST_F(MetricStream, NothingYetIsNoError) {
  MetricReader missing(dir_ / "metrics");
  EXPECT_TRUE(poll(missing).records.empty());
  MetricReader empty(dir_);
  EXPECT_TRUE(poll(empty).records.empty());
  write("run.a001.jsonl", "");
  EXPECT_TRUE(poll(empty).records.empty());
}

TEST_F(MetricStream, WaitsForTheRestOfATornLine) {
  const std::string line = lines(1, 1);
  MetricReader reader(dir_);
  write("run.a001.jsonl", "");
  for (const char c : line) {
    const MetricReader::Update update = poll(reader);
    EXPECT_TRUE(update.records.empty());
    EXPECT_TRUE(update.problems.empty());
    append("run.a001.jsonl", std::string(1, c));
  }
  EXPECT_EQ(poll(reader).records, std::vector<MetricRecord>{make_record(1)});
  EXPECT_TRUE(poll(reader).records.empty());
}

TEST_F(MetricStream, MalformedLinesAreNamedAndSkipped) {
  write("run.a001.jsonl", lines(1, 2) + "rubbish\n\n" + lines(3, 3));
  MetricReader reader(dir_);
  const MetricReader::Update update = poll(reader);
  EXPECT_EQ(steps_of(update.records), (Steps{1, 2, 3}));
  ASSERT_EQ(update.problems.size(), 1U);
  EXPECT_NE(update.problems.front().find("run.a001.jsonl:3:"), std::string::npos);
}

TEST_F(MetricStream, AResumedAttemptReplacesWhatItTrainsAgain) {
  write("run.a001.jsonl", lines(1, 5));
  MetricReader live(dir_);
  EXPECT_EQ(steps_of(poll(live).records), (Steps{1, 2, 3, 4, 5}));
  write("run.a002.jsonl", lines(4, 6, 2));
  MetricReader::Update update = poll(live);
  EXPECT_EQ(update.replaced_from_step, 4);
  EXPECT_EQ(steps_of(update.records), (Steps{4, 5, 6}));
  EXPECT_EQ(update.records.front().attempt, 2);
  append("run.a002.jsonl", lines(7, 7, 2));
  update = poll(live);
  EXPECT_EQ(update.replaced_from_step, -1);
  EXPECT_EQ(steps_of(update.records), (Steps{7}));
  // Read in one go, what was replaced is never delivered, so there is nothing to drop.
  MetricReader late(dir_);
  update = poll(late);
  EXPECT_EQ(update.replaced_from_step, -1);
  EXPECT_EQ(steps_of(update.records), (Steps{1, 2, 3, 4, 5, 6, 7}));
  EXPECT_EQ(update.records[3].attempt, 2);
}

TEST_F(MetricStream, AttemptsComeByNumberAndGapsAreFine) {
  write("run.a002.jsonl", lines(1, 2, 2));
  write("run.a010.jsonl", lines(5, 5, 10));
  write("run.a009.jsonl", lines(3, 4, 9) + R"({"torn")");
  write("notes.txt", "x");
  write("run.a0x3.jsonl", "x");
  MetricReader reader(dir_);
  const MetricReader::Update update = poll(reader);
  EXPECT_EQ(steps_of(update.records), (Steps{1, 2, 3, 4, 5}));
  EXPECT_TRUE(update.problems.empty()) << "a killed attempt leaves a torn line";
}

TEST_F(MetricStream, AFileThatWasCutOrReplacedIsReadAgain) {
  for (const bool same_size : {false, true}) {
    write("run.a001.jsonl", lines(1, 4));
    MetricReader reader(dir_);
    EXPECT_EQ(poll(reader).records.size(), 4U);
    // Other records of the same length, and one more: only the bytes before the cursor tell.
    write("run.a001.jsonl", same_size ? lines(5, 9) : lines(1, 2));
    const MetricReader::Update update = poll(reader);
    EXPECT_EQ(update.replaced_from_step, 0);
    EXPECT_EQ(steps_of(update.records), same_size ? (Steps{5, 6, 7, 8, 9}) : (Steps{1, 2}));
    ASSERT_EQ(update.problems.size(), 1U);
    EXPECT_TRUE(poll(reader).records.empty());
  }
}

TEST_F(MetricStream, StepsNeverFallForTheReader) {
  write("run.a001.jsonl", lines(1, 5) + lines(3, 4));
  MetricReader reader(dir_);
  EXPECT_EQ(steps_of(poll(reader).records), (Steps{1, 2, 3, 4}));
}

TEST_F(MetricStream, LastRecordIsReadFromTheEnd) {
  EXPECT_FALSE(last_record(dir_ / "none")->has_value());
  write("run.a001.jsonl", lines(1, 3));
  write("run.a002.jsonl", "");
  EXPECT_EQ((*last_record(dir_))->step, 3) << "an attempt without records says nothing";
  write("run.a002.jsonl", lines(2, 2, 2) + "rubbish\n" + R"({"torn")");
  EXPECT_EQ((*last_record(dir_))->attempt, 2);
  // Longer than the first piece looked at, in one line.
  MetricRecord wide = make_record(9, 3);
  wide.expert_load = std::vector<std::vector<double>>(60, std::vector<double>(256, 1234.5));
  wide.expert_layers.assign(60, 1);
  write("run.a003.jsonl", lines(1, 1, 3) + to_json_line(wide));
  EXPECT_EQ((*last_record(dir_))->step, 9);
  write("run.a003.jsonl", to_json_line(wide));
  EXPECT_EQ(**last_record(dir_), wide);
}

}  // namespace
}  // namespace tera::run
