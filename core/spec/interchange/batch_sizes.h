// The three numbers of DeepSpeed, and of GPT-NeoX after it: train_batch_size =
// train_micro_batch_size_per_gpu x gradient_accumulation_steps x replicas.
#pragma once
#include "core/spec/interchange/mapping.h"

namespace tera::spec {

// Completes what the file leaves out and sets global_batch_size, micro_batch_size and
// data_parallel_size. An error when the numbers contradict each other or num_gpus (0: unknown).
void read_batch_sizes(Importer& in, std::int64_t num_gpus);
void write_batch_sizes(const RunSpec& spec, SettingList& out);

}  // namespace tera::spec
