// Widgets offscreen: typing into the form, decimation of charts, colours of the heat map, the
// strip.
#include <QAccessible>
#include <QComboBox>
#include <QLineEdit>
#include <QLineSeries>
#include <QSignalSpy>
#include <QTextBlock>

#include "core/plan/estimate.h"
#include "gui/document.h"
#include "gui/models/expert_load_model.h"
#include "gui/models/metric_series_model.h"
#include "gui/pages/design_sections.h"
#include "gui/theme.h"
#include "gui/widgets/block_diagram.h"
#include "gui/widgets/chart_view.h"
#include "gui/widgets/command_palette.h"
#include "gui/widgets/estimate_strip.h"
#include "gui/widgets/field_form.h"
#include "gui/widgets/field_text.h"
#include "gui/widgets/heat_map.h"
#include "gui/widgets/plot_scale.h"
#include "gui/widgets/quantity_box.h"
#include "gui/widgets/yaml_editor.h"
#include "tests/gui/gui_test_support.h"

namespace tera::gui {
namespace {

constexpr const char* kText =
    "name: toy\nmodel:\n  preset: tiny-moe\ncluster:\n  preset: this-machine\n";

struct Form {
  Form() {
    document.reset(kText);
    form = std::make_unique<FieldForm>(document, modelSections());
    form->resize(360, 700);
    form->show();
    EXPECT_TRUE(QTest::qWaitForWindowExposed(form.get()));
  }
  QuantityBox* box(const char* path) { return qobject_cast<QuantityBox*>(form->editor(path)); }
  void type(const char* path, const QString& text) {
    QuantityBox* editor = box(path);
    editor->setFocus();
    editor->selectAll();
    QTest::keyClicks(editor, text);
  }
  Document document;
  std::unique_ptr<FieldForm> form;
};

TEST(FieldForm, LabelsAreTheFieldsOwnWords) {
  EXPECT_EQ(fieldLabel("num_attention_heads"), "Attention heads");
  EXPECT_EQ(fieldLabel("moe_ffn_hidden_size"), "MoE FFN hidden size");
  EXPECT_EQ(fieldLabel("lr_schedule"), "LR schedule");
  EXPECT_EQ(fieldLabel("seed"), "Seed");
  for (const spec::FieldInfo& info : spec::all_fields()) {
    if (info.path == "training.param_groups.embedding.lr_multiplier") {
      EXPECT_EQ(fieldLabel(info), "Embedding: LR multiplier");
    }
    if (info.path == "training.seq_length") {
      EXPECT_EQ(fieldLabel(info), fieldLabel("seq_length"));
    }
  }
}

TEST(FieldForm, SectionsTogetherShowEveryFieldOnce) {
  Document document;
  document.reset(kText);
  const FieldForm model(document, modelSections()), training(document, trainingSections()),
      layout(document, layoutSections());
  for (const spec::FieldInfo& info : spec::all_fields()) {
    const int shown = (model.editor(info.path) != nullptr) +
                      (training.editor(info.path) != nullptr) +
                      (layout.editor(info.path) != nullptr);
    EXPECT_EQ(shown, info.kind == spec::FieldInfo::Kind::list ? 0 : 1) << info.path;
  }
}

TEST(FieldForm, TypingFollowsIntoTheSpec) {
  Form form;
  form.type("model.num_experts", "16");
  EXPECT_EQ(form.document.spec().model.num_experts, 16);
  EXPECT_TRUE(form.document.text().contains("num_experts: 16"));
  EXPECT_EQ(form.document.undoStack()->count(), 1);  // "1" and "16" are one edit
}

TEST(FieldForm, AcceptsWhatPeopleWrite) {
  Form form;
  form.type("model.hidden_size", "1k");
  EXPECT_EQ(form.document.spec().model.hidden_size, 1000);
  form.type("model.hidden_size", "7*128");
  EXPECT_EQ(form.document.spec().model.hidden_size, 896);
  form.type("model.vocab_size", "131,072");
  EXPECT_EQ(form.document.spec().model.vocab_size, 131072);
}

TEST(FieldForm, KeepsTheLastValueWhileTheTextIsWrong) {
  Form form;
  const int before = form.document.spec().model.num_layers;
  form.type("model.num_layers", "abc");
  EXPECT_EQ(form.document.spec().model.num_layers, before);
  EXPECT_FALSE(form.box("model.num_layers")->problem().isEmpty());
  form.type("model.num_layers", "2.5");
  EXPECT_TRUE(form.box("model.num_layers")->problem().contains("whole"));
  form.box("model.hidden_size")->setFocus();  // leaving the field shows the value that holds
  EXPECT_EQ(form.document.spec().model.num_layers, 2);  // the "2" of "2.5" was a value
  EXPECT_EQ(form.box("model.num_layers")->text(), "2");
}

TEST(FieldForm, StepsByUsefulAmounts) {
  Form form;
  form.type("model.hidden_size", "300");
  QuantityBox* box = form.box("model.hidden_size");
  QTest::keyClick(box, Qt::Key_Up);
  EXPECT_EQ(form.document.spec().model.hidden_size, 384);  // the next multiple of 128
  QTest::keyClick(box, Qt::Key_Down);
  EXPECT_EQ(form.document.spec().model.hidden_size, 256);
  QTest::keyClick(box, Qt::Key_PageUp);
  EXPECT_EQ(form.document.spec().model.hidden_size, 512);
}

TEST(FieldForm, WheelTurnsOnlyTheFocusedField) {
  Form form;
  form.box("model.hidden_size")->setFocus();
  QuantityBox* other = form.box("model.num_layers");
  const double before = other->value();
  const auto turn = [](QWidget* widget) {
    QWheelEvent wheel(QPointF(5, 5), widget->mapToGlobal(QPointF(5, 5)), {}, {0, 120}, Qt::NoButton,
                      Qt::NoModifier, Qt::NoScrollPhase, false);
    QApplication::sendEvent(widget, &wheel);
  };
  turn(other);
  EXPECT_EQ(other->value(), before);
  other->setFocus();
  turn(other);
  EXPECT_EQ(other->value(), before + 1);
}

TEST(FieldForm, UndoKeysBelongToTheDocument) {
  Form form;
  form.type("model.num_experts", "16");
  QKeyEvent undo(QEvent::ShortcutOverride, Qt::Key_Z, Qt::ControlModifier);
  undo.ignore();
  QApplication::sendEvent(form.box("model.num_experts")->findChild<QLineEdit*>(), &undo);
  EXPECT_FALSE(undo.isAccepted());
  form.document.undoStack()->undo();
  EXPECT_EQ(form.box("model.num_experts")->value(), form.document.spec().model.num_experts);
}

TEST(FieldForm, FollowsTheTextAndStopsWhileItIsBroken) {
  Form form;
  form.document.setText(QString(kText) + "training:\n  num_steps: 5\n");
  form.document.setText("model: [");
  EXPECT_FALSE(form.form->widget()->isEnabled());
  form.document.setText("model:\n  preset: tiny-moe\n  num_layers: 9\n  norm: layer\n");
  EXPECT_TRUE(form.form->widget()->isEnabled());
  EXPECT_EQ(form.box("model.num_layers")->value(), 9);
  EXPECT_EQ(qobject_cast<QComboBox*>(form.form->editor("model.norm"))->currentText(), "layer");
}

TEST(YamlEditor, TypesIntoTheDocumentAndMarksErrors) {
  Document document;
  document.reset(kText);
  YamlEditor editor(document);
  EXPECT_EQ(editor.toPlainText(), QString(kText));
  editor.moveCursor(QTextCursor::End);
  editor.insertPlainText("training:\n  num_steps: 9\n");
  EXPECT_EQ(document.spec().training.num_steps, 9);
  editor.insertPlainText("  no_such_field: 1\n");
  EXPECT_FALSE(document.isGood());
  EXPECT_EQ(editor.markedLine(Severity::error), 8);
  document.undoStack()->undo();
  EXPECT_EQ(editor.toPlainText(), document.text());
}

TEST(YamlEditor, KeepsTheCursorWhenTheFormEdits) {
  Document document;
  document.reset("name: toy\nmodel:\n  preset: tiny-moe\n  num_layers: 4\nseed: 3\n");
  YamlEditor editor(document);
  editor.goToLine(5);
  const int block = editor.textCursor().blockNumber();
  ASSERT_TRUE(document.setField("model.num_experts", "16"));
  EXPECT_EQ(editor.toPlainText(), document.text());
  EXPECT_EQ(editor.textCursor().block().text(), "seed: 3");
  EXPECT_EQ(editor.textCursor().blockNumber(), block + 1);
}

// A million samples with spikes of one sample: the line has at most four points per column, and
// every spike is in it.
TEST(ChartView, DecimatesWithoutLosingASpike) {
  MetricSeriesModel model({"loss"});
  constexpr int kSamples = 1'000'000, kSpikes = 50;
  std::vector<run::MetricRecord> records(kSamples);
  for (int i = 0; i < kSamples; ++i) {
    const bool spike = i % (kSamples / kSpikes) == kSamples / kSpikes / 2;
    records[static_cast<std::size_t>(i)].step = i + 1;
    records[static_cast<std::size_t>(i)].values = {
        {"loss", spike ? 9.0 + i * 1e-6 : 4 + 0.01 * std::sin(i)}};
  }
  model.append(records);
  ChartView chart("Loss", "nat", model,
                  {{.metric = 0, .name = {}, .colorIndex = 0, .smoothed = true}});
  chart.resize(1000, 300);
  chart.show();
  ASSERT_TRUE(QTest::qWaitForWindowExposed(&chart));
  QElapsedTimer timer;
  timer.start();
  chart.plot().refreshNow();
  EXPECT_LT(timer.elapsed(), 100);  // a tenth of a second is the most that one event may take
  const QLineSeries& line = chart.plot().rawSeries(0);
  EXPECT_LE(line.count(), 4 * 1000);
  EXPECT_GT(line.count(), 1000);
  int spikes = 0;
  for (const QPointF& point : line.points())
    spikes += point.y() > 8.5;
  EXPECT_EQ(spikes, kSpikes);
}

TEST(ChartView, PointsStayInOrderAndOnceEach) {
  run::PyramidColumn one{.count = 1,
                         .first = 2,
                         .min = 2,
                         .max = 2,
                         .last = 2,
                         .x_first = 10,
                         .x_min = 10,
                         .x_max = 10,
                         .x_last = 10};
  run::PyramidColumn many{.count = 5,
                          .first = 3,
                          .min = 1,
                          .max = 8,
                          .last = 4,
                          .x_first = 20,
                          .x_min = 23,
                          .x_max = 21,
                          .x_last = 24};
  const QList<QPointF> points = linePoints({one, {}, many}, 10, 2);
  const QList<QPointF> expected{{1, 1}, {2, 1.5}, {2.1, 4}, {2.3, 0.5}, {2.4, 2}};
  EXPECT_EQ(points, expected);
}

TEST(ChartView, KeysZoomFitAndReadValues) {
  MetricSeriesModel model({"loss"});
  std::vector<run::MetricRecord> records(100);
  for (int i = 0; i < 100; ++i) {
    records[static_cast<std::size_t>(i)].step = i + 1;
    records[static_cast<std::size_t>(i)].values = {{"loss", 100.0 - i}};
  }
  model.append(records);
  ChartView chart("Loss", "nat", model,
                  {{.metric = 0, .name = {}, .colorIndex = 0, .smoothed = true}});
  chart.resize(600, 300);
  chart.show();
  ASSERT_TRUE(QTest::qWaitForWindowExposed(&chart));
  PlotView& plot = chart.plot();
  plot.refreshNow();
  const qsizetype all = plot.rawSeries(0).count();
  QTest::keyClick(&plot, Qt::Key_Plus);
  plot.refreshNow();
  EXPECT_LT(plot.rawSeries(0).count(), all);
  QTest::keyClick(&plot, Qt::Key_0);
  plot.refreshNow();
  EXPECT_EQ(plot.rawSeries(0).count(), all);
  QTest::keyClick(&plot, Qt::Key_Right);
  EXPECT_EQ(plot.readout(), "@ 1  100");
  QTest::keyClick(&plot, Qt::Key_Right);
  EXPECT_EQ(plot.readout(), "@ 2  99");
  EXPECT_EQ(plot.accessibleDescription(), plot.readout());
  QTest::keyClick(&plot, Qt::Key_L);
  EXPECT_TRUE(plot.logY());
  plot.refreshNow();
  QTest::keyClick(&plot, Qt::Key_T, Qt::ControlModifier);
  EXPECT_TRUE(chart.tableShown());
}

TEST(HeatMap, ColoursAreSymmetricInTheLogarithmAndClamped) {
  applyTheme(ThemeChoice::Dark);
  EXPECT_EQ(expertColor(1), theme().middle.rgb());
  EXPECT_EQ(expertColor(4), theme().high.rgb());
  EXPECT_EQ(expertColor(100), theme().high.rgb());
  EXPECT_EQ(expertColor(0.25), theme().low.rgb());
  EXPECT_EQ(expertColor(0), theme().low.rgb());
  EXPECT_EQ(expertColor(std::nan("")), theme().raised.rgb());
  const QColor twice(expertColor(2));  // half of the way
  EXPECT_NEAR(twice.red(), (theme().middle.red() + theme().high.red()) / 2.0, 1);
}

TEST(HeatMap, APixelShowsTheExpertFarthestFromIdeal) {
  ExpertLoadModel model;
  std::vector<double> loads(1000, 1.0);
  loads[617] = 40;  // mean 1.039
  model.setLoads({loads, std::vector<double>(1000, 1.0)}, {0, 1}, 1);
  const HeatMap map(model);
  const QImage image = map.render({100, 20});
  EXPECT_EQ(image.pixel(61, 3), expertColor(40));
  EXPECT_NE(image.pixel(60, 3), expertColor(40));
  EXPECT_EQ(image.pixel(61, 15), expertColor(1));
}

TEST(HeatMap, FindsCellsAndSpeaksThem) {
  ExpertLoadModel model;
  HeatMap map(model);
  map.resize(400, 200);
  EXPECT_FALSE(map.cellAt({100, 50}));
  model.setLoads({{1, 3}, {2, 2}}, {4, 5}, 9);
  EXPECT_TRUE(map.accessibleDescription().contains("worst is layer 4"));
  map.show();
  map.setFocus();
  QTest::keyClick(&map, Qt::Key_Right);
  EXPECT_EQ(map.accessibleDescription(), map.describe(0, 1));
  EXPECT_TRUE(map.describe(0, 1).contains("1.50"));
}

TEST(BlockDiagram, TenThousandLayersAreThreeBlocks) {
  spec::ModelConfig model = spec::model_preset("deepseek-v3").value().model;
  model.num_layers = 10000;
  const auto blocks = modelBlocks(model);
  ASSERT_EQ(blocks.size(), 5U);  // embedding, dense, MoE, head, multi-token prediction
  EXPECT_EQ(blocks[1].title, "3 × dense block");
  EXPECT_EQ(blocks[2].title, "9,997 × MoE block");
  EXPECT_EQ(blocks[2].experts, 256);
  EXPECT_EQ(blocks[4].title, "1 × multi-token prediction");
  EXPECT_EQ(blocks[4].body, "in training, loss × 0.3");
  model.num_experts = 0;
  model.num_mtp_layers = 0;
  EXPECT_EQ(modelBlocks(model).size(), 3U);
}

TEST(EstimateStrip, TilesSayWhatChanged) {
  spec::RunSpec spec = test::specOf("tiny-moe", "a");
  const plan::Estimate before = plan::estimate(spec).value();
  for (const EstimateTile& tile : estimateTiles(before, &before, spec))
    EXPECT_TRUE(tile.delta.isEmpty()) << tile.caption.toStdString();
  spec.model.num_experts *= 2;
  const plan::Estimate after = plan::estimate(spec).value();
  const auto tiles = estimateTiles(after, &before, spec);
  EXPECT_TRUE(tiles[0].delta.startsWith("+"));
  EXPECT_EQ(tiles[0].trend, EstimateTile::Neutral);
  EXPECT_EQ(tiles[1].caption, "Memory");
  EXPECT_TRUE(tiles[1].delta.startsWith("+"));
  EXPECT_EQ(tiles[1].trend, EstimateTile::Worse);
  EXPECT_EQ(tiles.back().value, "free");
}

TEST(EstimateStrip, OverCapacityIsAProblem) {
  spec::RunSpec spec = test::specOf("moe-1t", "a");
  const plan::Estimate estimate = plan::estimate(spec).value();
  ASSERT_FALSE(estimate.fits);
  const auto tiles = estimateTiles(estimate, nullptr, spec);
  EXPECT_TRUE(tiles[1].isProblem);
  EXPECT_TRUE(tiles[1].note.startsWith("■"));
}

TEST(CommandPalette, RanksWordsOverScatteredLetters) {
  EXPECT_GT(paletteScore("exp", "Experts"), paletteScore("exp", "Explain six parts") - 1);
  EXPECT_GT(paletteScore("top", "Router top k"), paletteScore("top", "stop"));
  EXPECT_EQ(paletteScore("zzz", "Experts"), 0);
  EXPECT_GT(paletteScore("", "anything"), 0);
}

TEST(CommandPalette, SetsAFieldByItsWords) {
  QString got;
  QWidget parent;
  auto* palette =
      new CommandPalette({{"Experts", "", ':', [&](const QString& value) { got = value; }},
                          {"Save", "", '>', [&](const QString&) { got = "saved"; }}},
                         &parent);
  palette->box()->setText(":experts 128");
  EXPECT_EQ(palette->count(), 1);
  QTest::keyClick(palette->box(), Qt::Key_Return);
  EXPECT_EQ(got, "128");
}

}  // namespace
}  // namespace tera::gui
