// One model, any layout, through processes that mpirun starts: what a run of `teragpt train` leaves
// behind is what a run on one rank does, within the error of summation.
#pragma once
#include <fstream>

#include "core/spec/yaml.h"
#include "tests/app/run_program.h"
#include "tests/core/train/layout_fixture.h"
#include "tests/support/scoped_variable.h"

namespace tera::train::test {

class TrainLayouts : public LayoutTest {
 protected:
  static constexpr double kLearnt = 0.2;  // of the loss, by the models here

  spec::RunSpec one_thread_spec() const {
    spec::RunSpec spec = descent_spec();
    spec.launch.num_threads = 1;
    return spec;
  }
  // By the program, in a folder of its own.
  Trained train(const spec::RunSpec& spec) const override {
    const fs::path runs = root_ / ("runs-" + std::to_string(spec.layout.world_size()));
    fs::remove_all(runs);
    std::ofstream(root_ / "spec.yaml") << spec::to_yaml(spec);
    const tera::test::ProgramResult result = tera::test::run_teragpt(
        {"train", (root_ / "spec.yaml").string(), "--runs-root", runs.string()}, {}, 300);
    if (result.exit_code != 0) throw std::runtime_error(result.err);
    const std::string id = fs::directory_iterator(runs)->path().filename();
    const auto logs = runs / id / "logs" / "a001";
    EXPECT_EQ(std::distance(fs::directory_iterator(logs), {}), spec.layout.world_size());
    return trained(run::RunDirectory::planned(posix_vfs(), runs, id));
  }

 private:
  const tera::test::ScopedVariable runs_{"TERA_RUNS", root_ / "runs"};
  const tera::test::ScopedVariable cache_{"XDG_CACHE_HOME", root_ / "cache"};
};

}  // namespace tera::train::test
