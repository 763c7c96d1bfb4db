// Degrees that a model, its batch or the other degrees cannot have: named with both numbers and the
// nearest that they can.
#include <algorithm>
#include <cctype>
#include <functional>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/spec/presets.h"
#include "core/spec/validate.h"
#include "core/spec/yaml.h"
#include "tests/core/spec/spec_text.h"

namespace tera::spec {
namespace {

using testing::HasSubstr;

// Four layers of 12 heads, 6 of keys and values; 24 experts of 96 columns.
RunSpec small_spec() {
  RunSpec spec = run_preset("tiny-moe")->spec;
  spec.model.num_layers = 4;
  spec.model.num_attention_heads = 12;
  spec.model.num_key_value_heads = 6;
  spec.model.num_experts = 24;
  spec.model.moe_ffn_hidden_size = 96;
  spec.training.seq_length = 48;
  spec.training.global_batch_size = 24;
  spec.layout.micro_batch_size = 1;
  return spec;
}

struct Refused {
  const char* field;
  const char* message;  // part of it
  const char* hint;     // part of it
  std::function<void(ParallelLayout&)> change;
};

TEST(LayoutDegrees, AreRefusedWithBothNumbersAndTheNearestLegalOnes) {
  const std::vector<Refused> cases = {
      {"layout.tensor_parallel_size", "24 does not divide model.num_attention_heads = 12", "use 12",
       [](ParallelLayout& l) { l.tensor_parallel_size = 24, l.sequence_parallel = true; }},
      {"layout.tensor_parallel_size", "5 does not divide model.num_attention_heads = 12",
       "use 3 or 6",
       [](ParallelLayout& l) { l.tensor_parallel_size = 5, l.sequence_parallel = true; }},
      {"layout.tensor_parallel_size", "4 does not divide model.num_key_value_heads = 6",
       "use 3 or 6",
       [](ParallelLayout& l) { l.tensor_parallel_size = 4, l.sequence_parallel = true; }},
      {"layout.expert_parallel_size", "5 does not divide model.num_experts = 24", "use 4 or 8",
       [](ParallelLayout& l) { l.expert_parallel_size = 5, l.data_parallel_size = 8; }},
      {"layout.expert_parallel_size", "6 x 1 = 6 does not divide the 4 ranks", "use 4",
       [](ParallelLayout& l) { l.expert_parallel_size = 6, l.data_parallel_size = 4; }},
      {"layout.expert_tensor_parallel_size", "5 does not divide model.moe_ffn_hidden_size = 96",
       "use 4 or 8",
       [](ParallelLayout& l) { l.expert_tensor_parallel_size = 5, l.data_parallel_size = 8; }},
      {"layout.expert_tensor_parallel_size", "4 x 4 = 16 does not divide the 8 ranks", "use 2",
       [](ParallelLayout& l) {
         l.expert_parallel_size = l.expert_tensor_parallel_size = 4;
         l.data_parallel_size = 8;
       }},
      {"layout.pipeline_parallel_size", "5 is more than model.num_layers = 4", "at most 4",
       [](ParallelLayout& l) { l.pipeline_parallel_size = 5; }},
      {"layout.virtual_stages", "2 x 3 is more than model.num_layers = 4", "at most 2",
       [](ParallelLayout& l) {
         l.pipeline_parallel_size = 2, l.virtual_stages = 3;
         l.schedule = ScheduleKind::interleaved;
       }},
      {"training.global_batch_size",
       "24 is not a multiple of micro_batch_size x data_parallel_size = 1 x 7 = 7", "use 21 or 28",
       [](ParallelLayout& l) { l.data_parallel_size = 7; }}};
  for (const Refused& refused : cases) {
    RunSpec spec = small_spec();
    ASSERT_FALSE(has_errors(validate(spec))) << findings_text(validate(spec));
    refused.change(spec.layout);
    const std::vector<Diagnostic> found = validate(spec);
    const auto at = std::find_if(found.begin(), found.end(), [&](const Diagnostic& d) {
      return d.field == refused.field && d.message.find(refused.message) != std::string::npos;
    });
    ASSERT_NE(at, found.end()) << refused.field << ": " << refused.message << "\n"
                               << findings_text(found);
    EXPECT_EQ(at->severity, Severity::error);
    EXPECT_THAT(at->hint, HasSubstr(refused.hint)) << refused.message;
  }
}

// "use 3 or 6" -> 3, 6
std::vector<int> numbers_of(const std::string& hint) {
  std::vector<int> numbers;
  std::istringstream words(hint);
  for (std::string word; words >> word;) {
    if (std::all_of(word.begin(), word.end(), [](unsigned char c) { return std::isdigit(c); }))
      numbers.push_back(std::stoi(word));
  }
  return numbers;
}

TEST(LayoutDegrees, HintsAreLegal) {
  int hints = 0;
  for (const char* path : {"layout.tensor_parallel_size", "layout.expert_parallel_size",
                           "layout.expert_tensor_parallel_size"}) {
    for (const int replicas : {1, 3, 8}) {
      for (int size = 2; size < 40; ++size) {
        RunSpec spec = small_spec();
        spec.layout.data_parallel_size = replicas;
        spec.layout.sequence_parallel = true;
        ASSERT_TRUE(set_field(spec, path, std::to_string(size)));
        for (const Diagnostic& d : validate(spec)) {
          if (d.field != path || d.severity != Severity::error) continue;
          const std::vector<int> numbers = numbers_of(d.hint);
          ASSERT_FALSE(numbers.empty()) << d.hint;
          for (const int number : numbers) {
            ++hints;
            RunSpec other = spec;
            ASSERT_TRUE(set_field(other, path, std::to_string(number)));
            for (const Diagnostic& left : validate(other)) {
              EXPECT_FALSE(left.field == path && left.severity == Severity::error)
                  << path << " " << size << ": " << d.hint << ", but " << left.message;
            }
          }
        }
      }
    }
  }
  EXPECT_GT(hints, 100);
}

// What can be planned, but not trained here.
TEST(LayoutDegrees, ZeroThatAScheduleCannotServeIsNamed) {
  for (const int stage : {2, 3}) {
    RunSpec spec = small_spec();
    spec.layout.data_parallel_size = 2;
    spec.layout.pipeline_parallel_size = 4;
    spec.layout.zero_stage = stage;
    const std::vector<Diagnostic> found = validate_for_engine(spec);
    ASSERT_EQ(found.size(), 1U) << findings_text(found);
    EXPECT_EQ(found[0].field, "layout.zero_stage");
    EXPECT_THAT(found[0].message,
                HasSubstr(std::to_string(stage) + " with pipeline_parallel_size 4"));
    EXPECT_THAT(found[0].hint, HasSubstr("use 0 or 1"));
  }
}

}  // namespace
}  // namespace tera::spec
