#include "gui/widgets/command_palette.h"

#include <algorithm>

#include <QKeyEvent>
#include <QLineEdit>
#include <QListWidget>
#include <QVBoxLayout>

namespace tera::gui {
namespace {
constexpr int kMaxShown = 60;
constexpr auto kPrefixes = ">:@";
}  // namespace

int paletteScore(const QString& query, const QString& text) {
  int score = 1;
  const QString where = text.toLower();
  for (const QString& word : query.toLower().split(QLatin1Char(' '), Qt::SkipEmptyParts)) {
    const qsizetype at = where.indexOf(word);
    if (at >= 0) {
      const bool start = at == 0 || !where[at - 1].isLetterOrNumber();
      score += start ? 100 : 60;
      continue;
    }
    qsizetype from = 0;
    for (const QChar letter : word) {
      from = where.indexOf(letter, from);
      if (from < 0) return 0;
      ++from;
    }
    score += 10;
  }
  return score;
}

CommandPalette::CommandPalette(std::vector<PaletteEntry> entries, QWidget* parent)
    : QDialog(parent, Qt::Dialog | Qt::FramelessWindowHint), m_entries(std::move(entries)) {
  setWindowTitle(tr("Commands"));
  setAttribute(Qt::WA_DeleteOnClose);
  resize(620, 420);
  auto* layout = new QVBoxLayout(this);
  layout->setContentsMargins(8, 8, 8, 8);
  m_box = new QLineEdit;
  m_box->setPlaceholderText(tr("Search commands, :field value, @run"));
  m_box->setAccessibleName(tr("Search commands"));
  m_box->setClearButtonEnabled(true);
  m_list = new QListWidget;
  m_list->setAccessibleName(tr("Matches"));
  m_list->setFrameShape(QFrame::NoFrame);
  m_list->setUniformItemSizes(true);
  layout->addWidget(m_box);
  layout->addWidget(m_list, 1);
  m_box->installEventFilter(this);
  connect(m_box, &QLineEdit::textChanged, this, &CommandPalette::filter);
  connect(m_box, &QLineEdit::returnPressed, this, &CommandPalette::runCurrent);
  connect(m_list, &QListWidget::itemActivated, this, &CommandPalette::runCurrent);
  filter({});
  m_box->setFocus();
}

int CommandPalette::count() const {
  return m_list->count();
}

void CommandPalette::filter(const QString& text) {
  QString query = text.trimmed();
  QChar prefix;
  if (!query.isEmpty() && QLatin1String(kPrefixes).contains(query[0])) {
    prefix = query[0];
    query = query.mid(1).trimmed();
  }
  // ":experts 128": the last word is the value when there are two.
  m_argument.clear();
  if (prefix == QLatin1Char(':') && query.contains(QLatin1Char(' '))) {
    m_argument = query.section(QLatin1Char(' '), -1);
    query = query.section(QLatin1Char(' '), 0, -2);
  }
  std::vector<std::pair<int, int>> ranked;  // -score, index
  for (std::size_t i = 0; i < m_entries.size(); ++i) {
    if (!prefix.isNull() && m_entries[i].prefix != prefix) continue;
    const int score = paletteScore(query, m_entries[i].text);
    if (score > 0) ranked.emplace_back(-score, static_cast<int>(i));
  }
  std::sort(ranked.begin(), ranked.end());
  m_list->clear();
  for (const auto& [score, i] : ranked) {
    if (m_list->count() >= kMaxShown) break;
    const PaletteEntry& entry = m_entries[static_cast<std::size_t>(i)];
    auto* item = new QListWidgetItem(QStringLiteral("%1  %2").arg(entry.prefix).arg(entry.text));
    if (!entry.detail.isEmpty())
      item->setText(item->text() + QStringLiteral("    ") + entry.detail);
    item->setData(Qt::UserRole, i);
    m_list->addItem(item);
  }
  m_list->setCurrentRow(0);
}

void CommandPalette::runCurrent() {
  const QListWidgetItem* item = m_list->currentItem();
  if (item == nullptr) return;
  const auto run = m_entries[static_cast<std::size_t>(item->data(Qt::UserRole).toInt())].run;
  const QString argument = m_argument;
  accept();  // first: the command may want the focus
  run(argument);
}

bool CommandPalette::eventFilter(QObject* watched, QEvent* event) {
  if (watched == m_box && event->type() == QEvent::KeyPress) {
    const int key = static_cast<QKeyEvent*>(event)->key();
    const int by = key == Qt::Key_Down ? 1 : key == Qt::Key_Up ? -1 : 0;
    if (by != 0) {
      m_list->setCurrentRow(std::clamp(m_list->currentRow() + by, 0, m_list->count() - 1));
      return true;
    }
  }
  return QDialog::eventFilter(watched, event);
}

}  // namespace tera::gui
