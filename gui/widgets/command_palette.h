// CommandPalette (Ctrl+K): one box for commands, fields (":experts 128" sets one), pages and runs.
#pragma once
#include <functional>
#include <vector>

#include <QDialog>

class QLineEdit;
class QListWidget;

namespace tera::gui {

struct PaletteEntry {
  QString text;    // what is matched
  QString detail;  // shortcut, or where it lives
  QChar prefix;    // '>' command, ':' field, '@' run
  std::function<void(const QString& argument)> run;
};

// 0 = no match; higher is better: whole words and their beginnings before scattered letters.
int paletteScore(const QString& query, const QString& text);

class CommandPalette : public QDialog {
  Q_OBJECT
 public:
  CommandPalette(std::vector<PaletteEntry> entries, QWidget* parent);
  QLineEdit* box() { return m_box; }
  int count() const;

 protected:
  bool eventFilter(QObject* watched, QEvent* event) override;

 private:
  void filter(const QString& text);
  void runCurrent();

  std::vector<PaletteEntry> m_entries;
  QLineEdit* m_box;
  QListWidget* m_list;
  QString m_argument;
};

}  // namespace tera::gui
