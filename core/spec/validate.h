// All problems of a spec at once, each with a hint.
#pragma once
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "core/base/error.h"
#include "core/spec/run_spec.h"
#include "core/spec/yaml.h"

namespace tera::spec {

// Errors make the spec meaningless; warnings cost speed or memory; notes explain.
std::vector<Diagnostic> validate(const RunSpec& spec);
// What this build's engine cannot train yet (planning still works): errors naming the field.
std::vector<Diagnostic> validate_for_engine(const RunSpec& spec);
// Whether Megatron-LM can lay ranks out as tp-cp-ep-pp-dp: its parallel_state wants the stages of
// experts to be those of the rest, and so as many replicas of them.
bool megatron_alternates_stages(const RunSpec& spec);
// False for a cluster nobody has filled in: such a spec trains, but cannot be planned.
bool is_described(const Cluster& cluster);
// Line and column of a field in the text, or of the nearest section around it that the text has.
std::pair<int, int> position_of(const ParsedSpec& parsed, std::string path);
// Loads a file, applies "path=value" overrides and validates; findings carry the line of their
// field.
ParsedSpec load_and_validate(const std::filesystem::path& path,
                             const std::vector<std::string>& overrides = {});

}  // namespace tera::spec
