// Document: the open spec as one text, with undo. The text is the truth; RunSpec and diagnostics
// are parsed from it after every change, and the last good RunSpec stays while the text has errors.
#pragma once
#include <vector>

#include <QObject>
#include <QString>
#include <QUndoStack>

#include "core/base/result.h"
#include "core/spec/run_spec.h"

namespace tera::gui {

class Document : public QObject {
  Q_OBJECT
 public:
  explicit Document(QObject* parent = nullptr);

  // Replaces everything and forgets the undo history: a file was opened or created.
  void reset(const QString& text);

  // Verbs; each is one undo step, and steps on the same field close together in time merge.
  Result<void> setField(const std::string& path, const std::string& value);
  void setText(const QString& text);  // typing in the YAML pane: merges while pauses are < 500 ms
  void applyModelPreset(const QString& name);
  void applyClusterPreset(const QString& name);
  void replaceText(const QString& text, const QString& what);  // e.g. edits recovered after a crash

  const QString& text() const { return m_text; }
  const spec::RunSpec& spec() const { return m_spec; }
  bool isGood() const { return m_good; }      // the text parses; spec() is what it says
  bool wasGood() const { return m_wasGood; }  // since reset(); until then spec() says nothing
  const std::vector<Diagnostic>& diagnostics() const { return m_diagnostics; }
  QUndoStack* undoStack() { return &m_undo; }
  bool isClean() const { return m_undo.isClean(); }  // as it was saved

 signals:
  void textChanged();
  void specChanged();         // spec() has new values
  void diagnosticsChanged();  // after every change of the text

 private:
  friend class TextCommand;
  void push(const QString& text, const QString& what, const QString& mergeKey, int mergeMs);
  void show(const QString& text);
  void applyPreset(const char* section, const QString& name);
  Result<std::string> textWith(const std::string& path, const spec::RunSpec& wanted) const;

  QString m_text;
  spec::RunSpec m_spec;
  bool m_good = true;
  bool m_wasGood = false;
  std::vector<Diagnostic> m_diagnostics;
  QUndoStack m_undo;
};

}  // namespace tera::gui
