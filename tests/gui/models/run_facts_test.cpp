#include "gui/models/run_facts.h"

#include <cmath>

#include "tests/gui/models/model_test_support.h"

namespace tera::gui {
namespace {

using test::text;

TEST(RunFacts, AreEvidence) {
  const QString facts = runFacts(test::livingStatus(), 1134);
  EXPECT_TRUE(facts.contains("step 50 of 200"));
  EXPECT_TRUE(facts.contains("loss 4.2500"));
  EXPECT_TRUE(facts.contains("34 s old")) << ss(facts);
  EXPECT_TRUE(facts.contains("5 min")) << ss(facts);  // 150 steps of 2 s
}

TEST(RunFacts, LeaveOutWhatIsNotKnown) {
  run::RunStatus status = test::livingStatus();
  status.last_loss = std::nan("");
  EXPECT_FALSE(runFacts(status, 1134).contains("loss"));
  status.step = 0;
  EXPECT_FALSE(runFacts(status, 1134).contains("left"));
  EXPECT_EQ(runFacts({}, 1134), "");
}

TEST(RunFacts, AnEndedRunHasNoAgeAndNoTimeLeft) {
  run::RunStatus status = test::livingStatus();
  status.alive = false;
  const QString facts = runFacts(status, 5000);
  EXPECT_FALSE(facts.contains("old"));
  EXPECT_FALSE(facts.contains("left"));
  EXPECT_TRUE(facts.contains("step 50 of 200"));
}

TEST(RunFacts, NothingIsLeftOfARunPastItsPlan) {
  run::RunStatus status = test::livingStatus();
  status.step = 260;  // resumed with more steps than the spec says
  EXPECT_TRUE(runFacts(status, 1134).contains("about 0 s left")) << ss(runFacts(status, 1134));
}

TEST(RunFacts, AClockThatIsBehindGivesNoNegativeAge) {
  EXPECT_TRUE(runFacts(test::livingStatus(), 1000).contains("0 s old"))
      << ss(runFacts(test::livingStatus(), 1000));
}

TEST(RunFacts, EveryStateHasAShapeAndAWord) {
  QSet<QString> shapes;
  for (int i = 0; i <= static_cast<int>(run::RunState::died); ++i) {
    const auto state = static_cast<run::RunState>(i);
    const QString text = runStateText(state);
    EXPECT_TRUE(text.endsWith(qs(run::run_state_name(state)))) << ss(text);
    EXPECT_FALSE(text[0].isLetter());
    shapes.insert(text.left(1));
  }
  EXPECT_GE(shapes.size(), 6);  // failed and died share theirs
}

}  // namespace
}  // namespace tera::gui
