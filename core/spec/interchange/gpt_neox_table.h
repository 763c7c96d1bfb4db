// The settings of GPT-NeoX that are fields of ours.
#pragma once
#include "core/spec/interchange/mapping.h"

namespace tera::spec {

// Names and defaults: megatron/neox_arguments/neox_args.py of version 2.0 and configs/20B.yml.
const Mapping& gpt_neox_mapping();

}  // namespace tera::spec
