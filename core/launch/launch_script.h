// The pure part of launching: what will run, as text, and its hash.
#pragma once
#include <filesystem>

#include "core/launch/launcher.h"

namespace tera::launch {

// teragpt of this installation: the path given, this program itself, beside it, or on PATH.
Result<std::filesystem::path> find_program(const std::string& given);

// argv, environment and files of the next attempt of a run on this machine.
Result<LaunchScript> render_local(const run::RunDirectory& dir, const LaunchOptions& options);

// Variables of this process that are on the allow-list, then those of the script: "NAME=value".
std::vector<std::string> full_environment(const LaunchScript& script);

}  // namespace tera::launch
