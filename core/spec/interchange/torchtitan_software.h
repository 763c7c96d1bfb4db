// What trains the run in TorchTitan: compilation, quantised products, offload; both ways.
#pragma once
#include "core/spec/interchange/mapping.h"

namespace tera::spec {

// Reading needs the precision and the layout.
void read_torchtitan_software(Importer& in);
void write_torchtitan_software(const RunSpec& spec, SettingList& out);

}  // namespace tera::spec
