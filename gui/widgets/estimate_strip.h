// EstimateStrip: the estimate in a row, always on screen while a spec is edited: value, and what
// changed against the pinned baseline. A click explains the number.
#pragma once
#include <vector>

#include <QAbstractButton>
#include <QWidget>

#include "core/plan/estimate.h"
#include "core/spec/run_spec.h"

namespace tera::gui {

struct EstimateTile {
  enum Trend { None, Better, Worse, Neutral };
  QString caption;  // "Memory, worst device"
  QString value;    // "54.2 of 80.0 GiB"
  QString note;     // "✓ fits", "4.1 to 5.2 s"
  bool isProblem = false;
  QString delta;  // "−3.1 GiB"; empty = unchanged
  Trend trend = None;
  QString term;  // path in the tree of terms
};

// baseline may be null. What words and units say is made here, so that a test can hold it.
std::vector<EstimateTile> estimateTiles(const plan::Estimate& now,
                                        const plan::Estimate* baseline,
                                        const spec::RunSpec& spec);

// The same tiles for a spec that could never be read.
std::vector<EstimateTile> unknownTiles();

class EstimateTileButton : public QAbstractButton {
  Q_OBJECT
 public:
  explicit EstimateTileButton(QWidget* parent = nullptr);
  void setTile(const EstimateTile& tile);
  const EstimateTile& tile() const { return m_tile; }
  void setStale(bool stale);
  QSize sizeHint() const override;
  QSize minimumSizeHint() const override;

 protected:
  void paintEvent(QPaintEvent* event) override;

 private:
  void describe();
  EstimateTile m_tile;
  bool m_stale = false;
};

class EstimateStrip : public QWidget {
  Q_OBJECT
 public:
  explicit EstimateStrip(QWidget* parent = nullptr);
  void setTiles(const std::vector<EstimateTile>& tiles);
  void setStale(bool stale);  // the spec has errors: the numbers are those of its last good version
  const std::vector<EstimateTileButton*>& tiles() const { return m_tiles; }

 signals:
  void termRequested(const QString& path);

 private:
  std::vector<EstimateTileButton*> m_tiles;
};

}  // namespace tera::gui
