// Prompts of `generate`: from the command line, a file or standard input.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "app/teragpt/checkpoint_model.h"
#include "core/base/result.h"
#include "core/infer/generate.h"

namespace tera::app {

struct PromptArguments {
  std::string text;  // --prompt
  std::string file;  // --prompts: a file, or - for standard input
  bool jsonl = false;
  std::uint64_t seed = 0;  // of the first prompt; the next has the next
};

struct Prompts {
  std::vector<std::string> texts;  // of the tokens where they were given as ids
  std::vector<infer::Prompt> prompts;
};

// A prompt of text needs a tokenizer; without one those of token ids are read, with empty texts.
// One prompt a line; of .jsonl files (or with jsonl) an object {"prompt": text} or {"tokens":
// [ids]}, and "seed" if it has its own. Errors name file and line.
Result<Prompts> read_prompts(const PromptArguments& args, CheckpointModel& loaded);

}  // namespace tera::app
