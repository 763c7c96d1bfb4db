#include "gui/job.h"

namespace tera::gui {

JobThread::JobThread() : m_thread([this] { loop(); }) {}

JobThread::~JobThread() {
  {
    const std::scoped_lock lock(m_mutex);
    m_quit = true;
    m_pending = nullptr;
  }
  m_wake.notify_all();
  m_thread.join();
}

void JobThread::post(std::function<void()> job) {
  {
    const std::scoped_lock lock(m_mutex);
    m_pending = std::move(job);
  }
  m_wake.notify_all();
}

void JobThread::drain() {
  std::unique_lock lock(m_mutex);
  m_wake.wait(lock, [this] { return !m_running && m_pending == nullptr; });
}

void JobThread::loop() {
  std::unique_lock lock(m_mutex);
  while (true) {
    m_wake.wait(lock, [this] { return m_quit || m_pending != nullptr; });
    if (m_quit) return;
    const std::function<void()> job = std::exchange(m_pending, nullptr);
    m_running = true;
    lock.unlock();
    job();
    lock.lock();
    m_running = false;
    m_wake.notify_all();  // who drains
  }
}

}  // namespace tera::gui
