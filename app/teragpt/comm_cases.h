// Collectives of f32 tensors as `bench comm` times them, by all ranks of a world together.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/comm/communicator.h"
#include "core/tensor/backend.h"

namespace tera::app {

struct CommTiming {
  std::string operation;
  std::int64_t bytes = 0;  // of the whole tensor, a multiple of 4 x ranks
  double call_s = 0;       // median over rounds, of the slowest rank
  double raw_call_s = 0;   // the same of the call beside; 0: there is none
  // What all ranks together at least read and write in the memory of one computer.
  double moved_bytes = 0;
};

struct CommSettings {
  std::vector<std::int64_t> bytes;
  double seconds = 0.2;  // of each collective and size
  // What is measured beside, in turn, round by round; may be empty.
  std::function<void(const comm::Operation&)> raw = {};
};

// Every rank calls this; rank 0's on_row gets the rows one by one, which are the same on all ranks.
void time_collectives(comm::Communicator& world,
                      Backend& backend,
                      const CommSettings& settings,
                      const std::function<void(const CommTiming&)>& on_row);

}  // namespace tera::app
