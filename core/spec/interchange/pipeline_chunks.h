// The schedule of a pipeline and the model chunks of a rank: several settings elsewhere, two fields
// here.
#pragma once
#include "core/spec/interchange/mapping.h"

namespace tera::spec {

// Megatron-LM runs 1F1B, interleaved as soon as a rank has several chunks. Says layout.schedule
// from the chunks of the table's row, or from the layers of a chunk, and whether the ends count.
void read_megatron_chunks(Importer& in);
void write_megatron_chunks(const RunSpec& spec, SettingList& out);
// Whether the number of chunks is written, and not the layout of each.
bool counts_megatron_chunks(const RunSpec& spec);

// TorchTitan's schedules of several chunks have two on a rank unless the layers of a chunk say
// otherwise; embedding and head count as layers unless told.
void read_torchtitan_chunks(Importer& in);
void write_torchtitan_chunks(const RunSpec& spec, SettingList& out);

}  // namespace tera::spec
