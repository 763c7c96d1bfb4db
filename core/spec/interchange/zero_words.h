// What trains a run where DeepSpeed does, in its own JSON and in GPT-NeoX's YAML: where states
// stay, how gradients are summed and when.
#pragma once
#include "core/spec/interchange/mapping.h"

namespace tera::spec {

// Reads and writes zero_optimization.* (the stage is a row of the table), data_types.* and the flag
// `activations` that keeps activations on the host. Reading needs the stage and the precision.
void read_zero(Importer& in, const char* activations);
void write_zero(const RunSpec& spec, const char* activations, SettingList& out);
// Copies of what the third stage shards (MiCS). Reading needs the replicas.
void read_copies(Importer& in);

}  // namespace tera::spec
