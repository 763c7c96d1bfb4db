// "betas": [0.9, 0.95], as torch's optimizers have it.
#pragma once
#include <string>

#include "core/spec/interchange/mapping.h"

namespace tera::spec {

// Sets the betas of adamw or lion, whichever the spec trains with.
void read_adam_betas(Importer& in, std::string_view key);
void write_adam_betas(const RunSpec& spec, std::string key, SettingList& out);

}  // namespace tera::spec
