#include "gui/widgets/parameter_card.h"

#include "gui/theme.h"
#include "tests/gui/gui_test_support.h"

namespace tera::gui {
namespace {

plan::Estimate estimateOf(const char* preset) {
  return plan::estimate(test::specOf(preset, "a")).value();
}

TEST(ParameterCard, BarAndTableAddUpToTheTotal) {
  for (const std::string& preset : test::presets()) {
    ParameterCard card;
    const plan::Estimate estimate = estimateOf(preset.c_str());
    card.setEstimate(&estimate, {});
    double bar = 0, table = 0;
    for (const BarPart& part : card.parameters().parts())
      bar += part.value;
    for (const ParamPart& part : card.model().rows())
      table += part.count;
    EXPECT_EQ(bar, static_cast<double>(estimate.params.total)) << preset;
    EXPECT_EQ(table, bar) << preset;
    ASSERT_EQ(card.parameters().parts().size(), card.model().rows().size());
    for (std::size_t i = 0; i < card.model().rows().size(); ++i)
      EXPECT_EQ(card.parameters().parts()[i].name, card.model().rows()[i].name) << preset;
  }
}

TEST(ParameterCard, TimesAddUpToTheStep) {
  for (const char* preset : {"tiny-moe", "mixtral-8x7b"}) {
    ParameterCard card;
    const plan::Estimate estimate = estimateOf(preset);
    card.setEstimate(&estimate, {});
    double sum = 0;
    for (const BarPart& part : card.stepTime().parts())
      sum += part.value;
    EXPECT_NEAR(sum, estimate.step_s, 1e-9 * estimate.step_s) << preset;
  }
}

TEST(ParameterCard, WithoutAnEstimateItSaysWhyAndShowsNoOldNumbers) {
  ParameterCard card;
  const plan::Estimate estimate = estimateOf("tiny-moe");
  card.setEstimate(&estimate, {});
  EXPECT_TRUE(card.totals().contains("in total"));
  card.setEstimate(nullptr, "top-k is larger than the number of experts");
  EXPECT_EQ(card.totals(), "top-k is larger than the number of experts");
  EXPECT_EQ(card.model().rowCount(), 0);
  EXPECT_TRUE(card.parameters().parts().empty());
  EXPECT_TRUE(card.stepTime().parts().empty());
}

TEST(ParameterCard, FollowsTheTheme) {
  ParameterCard card;
  const plan::Estimate estimate = estimateOf("tiny-moe");
  card.setEstimate(&estimate, {});
  card.show();
  applyTheme(ThemeChoice::Light);
  QCoreApplication::processEvents();
  EXPECT_EQ(card.parameters().parts()[0].color,
            theme().seriesColor(card.model().row(0).colorIndex));
  applyTheme(ThemeChoice::Dark);
  QCoreApplication::processEvents();
  EXPECT_EQ(card.parameters().parts()[0].color,
            theme().seriesColor(card.model().row(0).colorIndex));
}

}  // namespace
}  // namespace tera::gui
