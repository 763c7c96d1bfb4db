#include "gui/widgets/block_diagram.h"

#include <algorithm>
#include <cmath>

#include <QAccessible>
#include <QKeyEvent>
#include <QMouseEvent>
#include <QPainter>

#include "core/base/units.h"
#include "gui/text.h"
#include "gui/theme.h"

namespace tera::gui {
namespace {

constexpr int kOneRow = 20;  // experts that fit into one row of squares
constexpr double kTitleGap = 12;

QString number(int value) {
  return qs(format_integer(value));
}

QString attentionText(const spec::ModelConfig& model) {
  if (model.attention == spec::AttentionKind::latent) {
    return BlockDiagram::tr("latent attention · %1 heads, KV rank %2")
        .arg(number(model.num_attention_heads), number(model.kv_lora_rank));
  }
  const QString text = model.num_key_value_heads == model.num_attention_heads
                           ? BlockDiagram::tr("attention · %1 heads × %2")
                                 .arg(number(model.num_attention_heads), number(model.head_dim))
                           : BlockDiagram::tr("attention · %1 heads × %2, %3 KV")
                                 .arg(number(model.num_attention_heads), number(model.head_dim),
                                      number(model.num_key_value_heads));
  return model.sliding_window > 0
             ? text + BlockDiagram::tr(", window %1").arg(number(model.sliding_window))
             : text;
}

QString activationName(const spec::ModelConfig& model) {
  return qs(enum_name(model.activation));
}

}  // namespace

std::vector<ModelBlock> modelBlocks(const spec::ModelConfig& model) {
  std::vector<ModelBlock> blocks;
  blocks.push_back({.title = BlockDiagram::tr("Embedding"),
                    .attention = {},
                    .body = BlockDiagram::tr("%1 tokens × %2")
                                .arg(number(model.vocab_size), number(model.hidden_size)),
                    .field = "model.vocab_size"});
  const int dense = model.num_layers - model.num_moe_layers(model.num_layers);
  if (dense > 0) {
    blocks.push_back({.title = BlockDiagram::tr("%1 × dense block").arg(number(dense)),
                      .attention = attentionText(model),
                      .body = BlockDiagram::tr("FFN %1 · %2")
                                  .arg(number(model.ffn_hidden_size), activationName(model)),
                      .field = "model.ffn_hidden_size"});
  }
  if (model.num_layers > dense) {
    const QString shared = model.num_shared_experts > 0
                               ? BlockDiagram::tr(" + %1 shared").arg(model.num_shared_experts)
                               : QString();
    blocks.push_back(
        {.title = BlockDiagram::tr("%1 × MoE block").arg(number(model.num_layers - dense)),
         .attention = attentionText(model),
         .body = BlockDiagram::tr("router → %1 experts of %2, top %3")
                     .arg(number(model.num_experts), number(model.moe_ffn_hidden_size),
                          number(model.router_top_k)) +
                 shared,
         .shortBody = BlockDiagram::tr("%1 × %2, top %3")
                          .arg(number(model.num_experts), number(model.moe_ffn_hidden_size),
                               number(model.router_top_k)) +
                      shared,
         .experts = model.num_experts,
         .topK = model.router_top_k,
         .shared = model.num_shared_experts,
         .field = "model.num_experts"});
  }
  blocks.push_back({.title = BlockDiagram::tr("Head"),
                    .attention = {},
                    .body = model.tie_embeddings
                                ? BlockDiagram::tr("shares the embedding matrix")
                                : BlockDiagram::tr("%1 × %2 tokens")
                                      .arg(number(model.hidden_size), number(model.vocab_size)),
                    .field = "model.tie_embeddings"});
  if (model.num_mtp_layers > 0) {
    blocks.push_back(
        {.title = BlockDiagram::tr("%1 × multi-token prediction").arg(number(model.num_mtp_layers)),
         .attention = {},
         .body = BlockDiagram::tr("in training, loss × %1").arg(model.mtp_loss_coeff, 0, 'g', 3),
         .field = "model.num_mtp_layers"});
  }
  return blocks;
}

BlockDiagram::BlockDiagram(QWidget* parent) : QWidget(parent) {
  setFocusPolicy(Qt::StrongFocus);
  setAccessibleName(tr("Block diagram of the model"));
  setCursor(Qt::PointingHandCursor);
  setSizePolicy(QSizePolicy::Expanding, QSizePolicy::Expanding);
}

void BlockDiagram::setModel(const spec::ModelConfig* model) {
  m_blocks = model != nullptr ? modelBlocks(*model) : std::vector<ModelBlock>();
  m_current = std::clamp(m_current, 0, std::max(0, static_cast<int>(m_blocks.size()) - 1));
  QStringList words;
  for (const ModelBlock& block : m_blocks)
    words << QStringList{block.title, block.attention, block.body}
                 .join(QLatin1Char(' '))
                 .simplified();
  setAccessibleDescription(m_blocks.empty() ? tr("n/a: the YAML text has errors")
                                            : words.join(QStringLiteral("; ")));
  update();
}

std::vector<QRectF> BlockDiagram::blockRects() const {
  std::vector<double> weights;
  double sum = 0;
  for (const ModelBlock& block : m_blocks) {
    weights.push_back(block.experts > kOneRow     ? 3.9
                      : block.experts > 0         ? 2.8
                      : block.attention.isEmpty() ? 1
                                                  : 2.2);
    sum += weights.back();
  }
  constexpr double kGap = 13;
  const double room = height() - kGap * (static_cast<double>(m_blocks.size()) - 1) - 2;
  const double unit = std::min(room / sum, 46.0);
  double top = 1 + (room - unit * sum) / 2;
  std::vector<QRectF> rects;
  for (const double weight : weights) {
    rects.emplace_back(1, top, width() - 2, unit * weight);
    top += unit * weight + kGap;
  }
  return rects;
}

void BlockDiagram::paintEvent(QPaintEvent*) {
  QPainter painter(this);
  painter.setRenderHint(QPainter::Antialiasing);
  if (m_blocks.empty()) {
    painter.setPen(theme().muted);
    painter.drawText(rect(), Qt::AlignCenter, accessibleDescription());
    return;
  }
  const auto rects = blockRects();
  for (std::size_t i = 0; i < rects.size(); ++i) {
    if (i > 0) {  // the residual stream from block to block
      const double x = rects[i].center().x();
      painter.setPen(QPen(theme().muted, 1.4));
      painter.drawLine(QPointF(x, rects[i - 1].bottom()), QPointF(x, rects[i].top() - 2));
      painter.drawLine(QPointF(x - 4, rects[i].top() - 6), QPointF(x, rects[i].top() - 2));
      painter.drawLine(QPointF(x + 4, rects[i].top() - 6), QPointF(x, rects[i].top() - 2));
    }
    paintBlock(painter, rects[i], m_blocks[i], hasFocus() && static_cast<int>(i) == m_current);
  }
}

void BlockDiagram::paintBlock(QPainter& painter,
                              const QRectF& rect,
                              const ModelBlock& block,
                              bool current) const {
  const Theme& colors = theme();
  painter.setPen(QPen(current ? colors.accent : colors.border, current ? 2 : 1));
  painter.setBrush(colors.field);
  painter.drawRoundedRect(rect.adjusted(0.5, 0.5, -0.5, -0.5), 5, 5);
  QFont bold = font();
  bold.setWeight(QFont::DemiBold);
  const bool oneLine = block.attention.isEmpty();
  const QRectF inner = rect.adjusted(10, 4, -10, -4);
  const double line = QFontMetricsF(font()).height() + 2;
  painter.setFont(bold);
  painter.setPen(colors.text);
  painter.drawText(oneLine ? inner : QRectF(inner.left(), inner.top(), inner.width(), line),
                   Qt::AlignLeft | Qt::AlignVCenter, block.title);
  painter.setFont(font());
  painter.setPen(colors.muted);
  if (oneLine) {
    const double title = QFontMetricsF(bold).horizontalAdvance(block.title) + kTitleGap;
    const QRectF rest = inner.adjusted(title, 0, 0, 0);
    painter.drawText(rest, Qt::AlignRight | Qt::AlignVCenter,
                     painter.fontMetrics().elidedText(block.body, Qt::ElideRight,
                                                      static_cast<int>(rest.width())));
    return;
  }
  // Two chips: what mixes tokens, and what works on each token.
  const double top = inner.top() + line + 2;
  const double chipHeight =
      std::min(line + 4, (inner.bottom() - top - 3) / (block.experts > 0 ? 3 : 2.0));
  const auto chip = [&](double y, double height, const QColor& color, const QString& text,
                        const QString& shortText) {
    const QRectF box(inner.left(), y, inner.width(), height);
    QColor fill = color;
    fill.setAlpha(colors.dark ? 42 : 28);
    painter.setPen(Qt::NoPen);
    painter.setBrush(fill);
    painter.drawRoundedRect(box, 3, 3);
    painter.fillRect(QRectF(box.left(), box.top(), 3, box.height()), color);
    painter.setPen(colors.text);
    const int room = static_cast<int>(box.width()) - 18;
    const bool fits = shortText.isEmpty() || painter.fontMetrics().horizontalAdvance(text) <= room;
    const QString shown =
        painter.fontMetrics().elidedText(fits ? text : shortText, Qt::ElideRight, room);
    painter.drawText(box.adjusted(11, 0, -6, 0), Qt::AlignLeft | Qt::AlignVCenter, shown);
    return box;
  };
  chip(top, chipHeight, colors.seriesColor(1), block.attention, {});
  const QRectF second =
      chip(top + chipHeight + 3, chipHeight, colors.seriesColor(0), block.body, block.shortBody);
  if (block.experts > 0)
    paintExperts(painter,
                 QRectF(inner.left(), second.bottom() + 5, inner.width(),
                        inner.bottom() - second.bottom() - 6),
                 block);
}

// One square per expert, as many as fit; a token's top-k are lit, shared ones stand apart.
void BlockDiagram::paintExperts(QPainter& painter,
                                const QRectF& rect,
                                const ModelBlock& block) const {
  if (rect.height() < 8) return;
  const Theme& colors = theme();
  const double size =
      std::clamp(std::min(rect.height() - 2, rect.width() / block.experts - 3), 11.0, 22.0);
  const int perRow = std::max(1, static_cast<int>((rect.width() + 3) / (size + 3)));
  const int rows = std::max(1, static_cast<int>((rect.height() + 3) / (size + 3)));
  const int room = perRow * rows;
  constexpr int kLabelCells = 4;  // "+ 94" stands where the last cells would
  const int drawn = block.experts <= room ? block.experts : std::max(1, room - kLabelCells);
  for (int i = 0; i < drawn; ++i) {
    const QRectF cell(rect.left() + (i % perRow) * (size + 3),
                      rect.top() + (i / perRow) * (size + 3), size, size);
    // Spread over the drawn experts, as a router would; which ones is only for the picture.
    const bool lit =
        block.topK > 0 && static_cast<std::int64_t>(i) * block.topK % drawn < block.topK;
    painter.setPen(Qt::NoPen);
    painter.setBrush(lit ? colors.seriesColor(0) : colors.border);
    painter.drawRoundedRect(cell, 2, 2);
  }
  if (drawn < block.experts) {
    painter.setPen(colors.muted);
    painter.drawText(QRectF(rect.right() - 70, rect.top() + (rows - 1) * (size + 3), 70, size),
                     Qt::AlignRight | Qt::AlignVCenter,
                     BlockDiagram::tr("+ %1").arg(number(block.experts - drawn)));
  }
}

void BlockDiagram::mousePressEvent(QMouseEvent* event) {
  const auto rects = blockRects();
  for (std::size_t i = 0; i < rects.size(); ++i) {
    if (!rects[i].contains(event->position())) continue;
    select(static_cast<int>(i));
    emit fieldRequested(m_blocks[i].field);
  }
}

void BlockDiagram::keyPressEvent(QKeyEvent* event) {
  if (event->key() == Qt::Key_Up) return select(m_current - 1);
  if (event->key() == Qt::Key_Down) return select(m_current + 1);
  const bool enter = event->key() == Qt::Key_Return || event->key() == Qt::Key_Enter ||
                     event->key() == Qt::Key_Space;
  if (enter && !m_blocks.empty()) {
    emit fieldRequested(m_blocks[static_cast<std::size_t>(m_current)].field);
    return;
  }
  QWidget::keyPressEvent(event);
}

void BlockDiagram::select(int block) {
  m_current = std::clamp(block, 0, std::max(0, static_cast<int>(m_blocks.size()) - 1));
  if (!m_blocks.empty()) {
    const ModelBlock& now = m_blocks[static_cast<std::size_t>(m_current)];
    setAccessibleDescription(now.title + QLatin1Char(' ') + now.body);
    QAccessibleEvent spoken(this, QAccessible::DescriptionChanged);
    QAccessible::updateAccessibility(&spoken);
  }
  update();
}

}  // namespace tera::gui
