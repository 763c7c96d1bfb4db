// Long work off the UI thread: newest wins, stale results drop.
#pragma once
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <utility>

#include <QObject>

namespace tera::gui {

// One background thread with a mailbox of size one: a job posted while another waits replaces it.
// Destruction waits for the job that runs.
class JobThread {
 public:
  JobThread();
  ~JobThread();
  JobThread(const JobThread&) = delete;
  JobThread& operator=(const JobThread&) = delete;
  void post(std::function<void()> job);
  void drain();  // waits until nothing runs and nothing waits

 private:
  void loop();
  std::mutex m_mutex;
  std::condition_variable m_wake;
  std::function<void()> m_pending;
  bool m_quit = false;
  bool m_running = false;
  std::thread m_thread;  // last: starts when the rest exists
};

// Runs work() on its own thread and hands the value to deliver() on the thread that owns this
// object. Only the newest start() is ever delivered; a thrown exception arrives as failed(message).
template <class Value>
class LatestJob {
 public:
  explicit LatestJob(std::function<void(Value&)> deliver,
                     std::function<void(const QString&)> failed = {})
      : m_deliver(std::move(deliver)), m_failed(std::move(failed)) {}

  void start(std::function<Value()> work) {
    const std::uint64_t ticket = ++m_newest;
    m_busy = true;
    m_thread.post([this, ticket, run = std::move(work)] {
      std::shared_ptr<Value> value;
      QString problem;
      try {
        value = std::make_shared<Value>(run());
      } catch (const std::exception& error) {
        problem = QString::fromUtf8(error.what());
      }
      QMetaObject::invokeMethod(
          &m_context, [this, ticket, value, problem] { finish(ticket, value, problem); },
          Qt::QueuedConnection);
    });
  }
  bool busy() const { return m_busy; }

 private:
  void finish(std::uint64_t ticket, const std::shared_ptr<Value>& value, const QString& problem) {
    if (ticket != m_newest) return;
    m_busy = false;
    if (value) {
      m_deliver(*value);
    } else if (m_failed) {
      m_failed(problem);
    }
  }
  std::function<void(Value&)> m_deliver;
  std::function<void(const QString&)> m_failed;
  std::uint64_t m_newest = 0;
  bool m_busy = false;
  QObject m_context;   // its destruction discards results still in the event queue
  JobThread m_thread;  // last: joined before the rest goes
};

}  // namespace tera::gui
