#include "gui/widgets/docks.h"

#include <QFile>
#include <QSignalSpy>

#include "gui/session.h"
#include "gui/text.h"
#include "tests/gui/gui_test_support.h"

namespace tera::gui {
namespace {

struct Desk {
  Desk() : settings(folder.filePath("s.ini")), session(settings) {}
  void open(const QByteArray& text) {
    QFile file(folder.filePath("p.yaml"));
    EXPECT_TRUE(file.open(QIODevice::WriteOnly));
    file.write(text);
    file.close();
    EXPECT_TRUE(session.openFile(file.fileName()));
    EXPECT_TRUE(test::waitFor([this] { return !session.estimateBusy(); }));
  }
  QTemporaryDir folder;
  Settings settings;
  Session session;
};

constexpr const char* kProblems =
    "name: toy\nmodel:\n  preset: tiny-moe\n  router_top_k: 60\ncluster:\n  preset: this-machine\n"
    "training:\n  global_batch_size: 7\nlayout:\n  micro_batch_size: 2\n";

TEST(ProblemsPanel, CountsAndGoesRoundThroughThem) {
  Desk desk;
  ProblemsPanel panel(desk.session);
  const QSignalSpy counts(&panel, &ProblemsPanel::countChanged);
  std::vector<std::string> asked;
  QObject::connect(&panel, &ProblemsPanel::fieldRequested, &panel,
                   [&](const std::string& path, int) { asked.push_back(path); });
  panel.step(1);
  EXPECT_TRUE(asked.empty()) << "there is none";
  desk.open(kProblems);
  const int found = panel.model().rowCount();
  ASSERT_GE(found, 2);
  EXPECT_EQ(counts.last().at(0).toInt(), panel.model().count(Severity::error));
  for (int i = 0; i <= found; ++i)
    panel.step(1);
  panel.step(-1);
  ASSERT_EQ(asked.size(), static_cast<std::size_t>(found) + 2);
  EXPECT_EQ(asked.front(), panel.model().row(0).field);
  EXPECT_EQ(asked[static_cast<std::size_t>(found)], panel.model().row(0).field) << "round again";
  EXPECT_EQ(asked.back(), panel.model().row(found - 1).field);
}

TEST(ProblemsPanel, AFindingLeadsToItsLine) {
  Desk desk;
  desk.open(kProblems);
  ProblemsPanel panel(desk.session);
  int line = 0;
  QObject::connect(&panel, &ProblemsPanel::fieldRequested, &panel,
                   [&](const std::string& path, int at) {
                     if (path == "model.router_top_k") line = at;
                   });
  for (int i = 0; i < panel.model().rowCount(); ++i)
    panel.step(1);
  EXPECT_EQ(line, 4);
}

TEST(ExplainPanel, HasTheFourThingsThatAreEstimated) {
  Desk desk;
  ExplainPanel panel(desk.session);
  EXPECT_EQ(panel.model().rowCount(), 0);
  desk.open("name: toy\nmodel: {preset: tiny-moe}\ncluster: {preset: this-machine}\n");
  ASSERT_EQ(panel.model().rowCount(), 4);
  for (const char* term : {"parameters", "memory", "step time", "cost"})
    EXPECT_TRUE(panel.model().find(term).isValid()) << term;
  panel.showTerm("memory");
  EXPECT_EQ(panel.findChild<QTreeView*>()->currentIndex(), panel.model().find("memory"));
  panel.showTerm("no such term");
  EXPECT_EQ(panel.findChild<QTreeView*>()->currentIndex(), panel.model().find("memory"));
}

// What the strip says and what the panel explains are the same numbers.
TEST(ExplainPanel, TermsAreTheNumbersOfTheEstimate) {
  Desk desk;
  desk.open("name: toy\nmodel: {preset: mixtral-8x7b}\ncluster: {preset: this-machine}\n");
  const std::vector<plan::Term> terms = explainedTerms(desk.session);
  const plan::Estimate& estimate = *desk.session.estimate();
  ASSERT_EQ(terms.size(), 4U);
  EXPECT_EQ(terms[0].value, static_cast<double>(estimate.params.total));
  EXPECT_EQ(terms[1].value, estimate.worst_bytes);
  EXPECT_EQ(terms[2].value, estimate.step_s);
  EXPECT_EQ(terms[3].value, estimate.cost.usd);
  EXPECT_EQ(terms[2].source, estimate.basis.text) << "what the step time rests on";
  EXPECT_NE(terms[2].source, "");
}

}  // namespace
}  // namespace tera::gui
