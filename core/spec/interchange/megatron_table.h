// What import and export of Megatron-LM share.
#pragma once
#include "core/spec/interchange/mapping.h"

namespace tera::spec {

// Rows of the embedding are a multiple of this times the tensor-parallel size, unless told.
constexpr int kMegatronVocabMultiple = 128;
// Of YaRN with latent attention. Source: MLATransformerConfig.
constexpr int kMegatronYarnPositions = 4096;

// The arguments that are fields of ours. Names and defaults: megatron/training/arguments.py of
// core_v0.13.
const Mapping& megatron_mapping();
// Those that change nothing here, of its table.
std::span<const IdleKeys> megatron_idle_keys();

// What trains the run, and what its states are kept in and where. Reading needs the table's rows,
// the experts and the layout; of the states the software.
void read_megatron_software(Importer& in);
void read_megatron_states(Importer& in);
void write_megatron_software(const RunSpec& spec, SettingList& out);
void write_megatron_states(const RunSpec& spec, SettingList& out);

// YaRN's 0.1 m ln(s) + 1 for contexts s times longer. Source: Peng et al. 2023, section 3.4.
double yarn_softening(double stretch, double mscale);

}  // namespace tera::spec
