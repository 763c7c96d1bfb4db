// What trained the runs of a published row, as far as bytes and time follow from it, and what its
// memory column measures.
#pragma once
#include <string_view>

#include "core/plan/published_table.h"
#include "core/spec/run_spec.h"

namespace tera::plan {

// Sets software, an even load of experts where routing was forced to it, and the precision where
// the row's source tells it apart by date.
void set_published_software(const PublishedRow& row, spec::RunSpec& spec);

// Names the state of a machine that was changed between the runs of a source, which its authors ask
// not to compare; empty where nothing is known of any.
std::string_view machine_state(const PublishedRow& row);

// What the recipes that a group ran recompute, in the words of the column (published_words.h);
// empty if recipes differ.
std::string_view usual_recompute(std::string_view group);

enum class MemoryReading : std::uint8_t {
  device,     // nvidia-smi: all that is taken on the device
  reserved,   // what the framework's allocator took at most: no context, no communicators
  allocated,  // what the allocator gave out at most: no fragmentation either
};
MemoryReading memory_reading(std::string_view group);

}  // namespace tera::plan
