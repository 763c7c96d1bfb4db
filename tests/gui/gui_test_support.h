// What the tests of the workbench share: one QApplication for the program, waiting, and run
// directories with records made up to a formula.
#pragma once
#include <cmath>
#include <functional>
#include <random>
#include <string>

#include <QApplication>
#include <QElapsedTimer>
#include <QFile>
#include <QImage>
#include <QTemporaryDir>
#include <QTest>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "core/base/vfs.h"
#include "core/run/metric_stream.h"
#include "core/run/run_directory.h"
#include "core/run/run_state.h"
#include "core/spec/presets.h"
#include "core/spec/yaml.h"
#include "gui/text.h"

namespace tera::gui::test {

constexpr int kWaitMs = 30'000;  // a busy machine; what is awaited takes a blink

inline constexpr const char* kToy =
    "name: toy\nmodel:\n  preset: tiny-moe\ncluster:\n  preset: this-machine\n";

inline bool waitFor(const std::function<bool()>& condition, int ms = kWaitMs) {
  return QTest::qWaitFor(condition, ms);
}

// A spec of a preset with small numbers of steps.
inline spec::RunSpec specOf(const std::string& preset, const std::string& name) {
  spec::RunSpec spec;
  spec.name = name;
  spec.model = spec::model_preset(preset).value().model;
  spec.cluster = spec::cluster_preset("this-machine").value().cluster;
  spec.training.num_steps = 400;
  return spec;
}

inline std::vector<std::string> presets() {
  return spec::model_preset_names().value();
}

struct SyntheticRun {
  std::string preset = "tiny-moe";
  int steps = 120;
  int layers = 2;  // rows of expert loads
  int experts = 8;
  int hotExpert = -1;   // gets eight times the load
  int deadExpert = -1;  // gets none
  int spikeStep = -1;   // loss + 4
  bool ends = true;     // a "completed" event at the end
  double ageS = 0;      // of the newest record, in seconds
};

// loss = 4 + 4 exp(-step / 60) + noise of 0.05; eval_loss every 40 steps; a checkpoint event
// each 50.
inline std::string makeRun(const std::string& root, const SyntheticRun& wanted) {
  spec::RunSpec spec = specOf(wanted.preset, wanted.preset);
  spec.training.num_steps = wanted.steps;
  const run::RunDirectory dir = run::RunDirectory::create(posix_vfs(), root, spec).value();
  run::MetricWriter writer = run::MetricWriter::open(posix_vfs(), dir.metrics_file(1)).value();
  std::mt19937 random(7);
  std::normal_distribution<double> noise(0, 0.05);
  const double start =
      static_cast<double>(QDateTime::currentSecsSinceEpoch()) - wanted.steps - wanted.ageS;
  const auto event = [&](double time, const char* state, int step, const std::string& detail) {
    EXPECT_TRUE(run::append_event(
        dir, {.time_s = time, .attempt = 1, .state = state, .detail = detail, .step = step}));
  };
  event(start - 1, "starting", -1, "process started");
  for (int step = 1; step <= wanted.steps; ++step) {
    run::MetricRecord record;
    record.time_s = start + step;
    record.step = step;
    const double loss =
        4 + 4 * std::exp(-step / 60.0) + noise(random) + (step == wanted.spikeStep ? 4 : 0);
    record.values = {{"loss", loss},
                     {"grad_norm", 0.4 + 3 * std::exp(-step / 30.0) + std::abs(noise(random))},
                     {"learning_rate", 1e-3},
                     {"tokens", 2048.0 * step},
                     {"tokens_per_s", 2000 * (1 + noise(random))},
                     {"step_s", 1.0}};
    if (step % 40 == 0) record.values.emplace_back("eval_loss", loss + 0.15);
    for (int layer = 0; layer < wanted.layers; ++layer) {
      std::vector<double> loads;
      for (int expert = 0; expert < wanted.experts; ++expert) {
        double load = 100 * std::exp2(noise(random) * 6);
        if (expert == wanted.hotExpert) load *= 8;
        if (expert == wanted.deadExpert) load = 0;
        loads.push_back(load);
      }
      record.expert_load.push_back(std::move(loads));
      record.expert_layers.push_back(layer);
    }
    if (step == 1) event(record.time_s, "running", 1, "first step");
    EXPECT_TRUE(writer.write(record));
    if (step % 50 == 0) event(record.time_s, "checkpoint", step, fmt::format("step {}", step));
  }
  EXPECT_TRUE(writer.sync());
  if (wanted.ends) event(start + wanted.steps, "completed", wanted.steps, "all steps done");
  return dir.path().string();
}

// Of a run at step 50 of 200, a hundred seconds after its start.
inline run::RunStatus livingStatus() {
  run::RunStatus status;
  status.name = "toy";
  status.state = run::RunState::running;
  status.alive = true;
  status.step = 50;
  status.num_steps = 200;
  status.last_loss = 4.25;
  status.created_s = 1000;
  status.last_record_s = 1100;
  return status;
}

// To the log of rank 0.
inline void appendLog(const QString& run, int attempt, const QByteArray& text) {
  const run::RunDirectory dir = run::RunDirectory::open(posix_vfs(), ss(run)).value();
  const std::filesystem::path path = dir.log_file(attempt, 0);
  std::filesystem::create_directories(path.parent_path());
  QFile file(qs(path.string()));
  ASSERT_TRUE(file.open(QIODevice::Append));
  file.write(text);
}

// Mean of a picture, 0 to 255: text is a small part of it.
inline int lightness(const QImage& image) {
  return image.scaled(1, 1, Qt::IgnoreAspectRatio, Qt::SmoothTransformation)
      .pixelColor(0, 0)
      .lightness();
}

}  // namespace tera::gui::test
