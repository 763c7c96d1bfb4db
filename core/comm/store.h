// Where ranks that cannot talk to each other yet leave words for one another: a few small values
// under names, each written once.
#pragma once
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "core/base/result.h"

namespace tera::comm {

// Names have letters, digits and ".-_"; values at most kMaxStoredBytes. Any thread may call it.
// CommunicationError where the store is out of reach: it names the store, the rank and the name.
class Store {
 public:
  static constexpr std::size_t kMaxStoredBytes = 1 << 20;

  virtual ~Store() = default;
  // The first value stays: false, and nothing changes, where the name has one.
  virtual bool set(std::string_view name, std::string_view value) = 0;
  virtual std::optional<std::string> get(std::string_view name) = 0;
  // Waits up to `seconds` for the ranks that need what this one holds; may throw nothing.
  virtual void leave(double /*seconds*/) noexcept {}

  // The value, once there is one. CommunicationError after `timeout_s`.
  std::string wait_for(std::string_view name, double timeout_s);
  virtual std::string text() const = 0;  // "store 10.0.0.1:4242", for messages
};

// Of ranks that are threads of this process; also what a process keeps for others.
class MemoryStore final : public Store {
 public:
  bool set(std::string_view name, std::string_view value) override;
  std::optional<std::string> get(std::string_view name) override;
  std::string text() const override { return "store of this process"; }

 private:
  std::mutex mutex_;
  std::map<std::string, std::string, std::less<>> values_;
};

// A folder that all ranks see, of this job alone: a file for each name, complete when it appears.
// Made where it is missing. Errors: it takes no files.
Result<std::unique_ptr<Store>> make_file_store(const std::string& folder, int rank);

}  // namespace tera::comm
