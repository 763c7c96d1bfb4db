#include "gui/document.h"

#include <QElapsedTimer>
#include <QUndoCommand>

#include "core/spec/scalars.h"
#include "core/spec/validate.h"
#include "core/spec/yaml.h"
#include "gui/text.h"
#include "gui/yaml_patch.h"

namespace tera::gui {

// One change of the text. Commands with the same key merge when they follow within mergeMs.
class TextCommand : public QUndoCommand {
 public:
  TextCommand(Document& document, QString after, const QString& what, QString key, int mergeMs)
      : QUndoCommand(what),
        m_document(document),
        m_before(document.text()),
        m_after(std::move(after)),
        m_key(std::move(key)),
        m_mergeMs(mergeMs) {
    m_age.start();
  }
  int id() const override { return m_key.isEmpty() ? -1 : 1; }
  void undo() override { m_document.show(m_before); }
  void redo() override { m_document.show(m_after); }
  bool mergeWith(const QUndoCommand* other) override {
    const auto* next = static_cast<const TextCommand*>(other);
    if (next->m_key != m_key || m_age.msecsTo(next->m_age) > m_mergeMs) return false;
    m_after = next->m_after;
    m_age = next->m_age;
    if (m_after == m_before) setObsolete(true);
    return true;
  }

 private:
  Document& m_document;
  QString m_before, m_after, m_key;
  int m_mergeMs;
  QElapsedTimer m_age;
};

namespace {
constexpr int kFieldMergeMs = 1500;  // a sweep over one spin box
constexpr int kTypingMergeMs = 500;
constexpr int kUndoLimit = 1000;
}  // namespace

Document::Document(QObject* parent) : QObject(parent) {
  m_undo.setUndoLimit(kUndoLimit);
}

void Document::reset(const QString& text) {
  m_undo.clear();
  m_spec = spec::RunSpec();
  m_wasGood = false;
  show(text);
}

Result<void> Document::setField(const std::string& path, const std::string& value) {
  if (!m_good) {
    return fail(ErrorCode::invalid_input,
                path + ": the YAML text has errors, so the form shows its last good version",
                "mend the marked line, or undo");
  }
  spec::RunSpec wanted = m_spec;
  TERA_TRY_VOID(spec::set_field(wanted, path, value));
  if (wanted == m_spec) return {};
  TERA_TRY(const std::string text, textWith(path, wanted));
  push(qs(text), tr("change of %1").arg(qs(path)), qs(path), kFieldMergeMs);
  return {};
}

// The author's text patched in one place; where that does not say exactly what was asked, with the
// section written anew; at last the whole spec.
Result<std::string> Document::textWith(const std::string& path, const spec::RunSpec& wanted) const {
  const auto says = [&](const std::string& text) {
    const spec::ParsedSpec parsed = spec::parse_run_spec(text);
    return parsed.ok() && parsed.spec == wanted;
  };
  TERA_TRY(const std::string scalar, spec::get_field(wanted, path));
  for (const std::string& value : {scalar, spec::yaml_quoted(scalar)}) {
    const std::optional<std::string> patched = patchYamlScalar(ss(m_text), path, value);
    if (patched && says(*patched)) return *patched;
  }
  const std::string whole = spec::to_template_yaml(wanted);
  const std::string section = path.substr(0, path.find('.'));
  const std::string rewritten =
      replaceYamlSection(ss(m_text), section, yamlSection(whole, section));
  return says(rewritten) ? rewritten : whole;
}

void Document::setText(const QString& text) {
  if (text == m_text) return;
  push(text, tr("typing in YAML"), QStringLiteral("yaml"), kTypingMergeMs);
}

void Document::replaceText(const QString& text, const QString& what) {
  if (text == m_text) return;
  push(text, what, {}, 0);
}

void Document::applyModelPreset(const QString& name) {
  applyPreset("model", name);
}

void Document::applyClusterPreset(const QString& name) {
  applyPreset("cluster", name);
}

void Document::applyPreset(const char* section, const QString& name) {
  const std::string lines = std::string(section) + ":\n  preset: " + ss(name) + "\n";
  push(qs(replaceYamlSection(ss(m_text), section, lines)),
       tr("%1 preset %2").arg(QString::fromUtf8(section), name), {}, 0);
}

void Document::push(const QString& text, const QString& what, const QString& key, int mergeMs) {
  m_undo.push(new TextCommand(*this, text, what, key, mergeMs));
}

void Document::show(const QString& text) {
  m_text = text;
  spec::ParsedSpec parsed = spec::parse_run_spec(ss(text));
  m_good = parsed.ok();
  m_diagnostics = std::move(parsed.diagnostics);
  const bool changed = m_good && (!m_wasGood || !(parsed.spec == m_spec));
  if (m_good) {
    m_wasGood = true;
    m_spec = std::move(parsed.spec);
    for (Diagnostic& found : spec::validate(m_spec)) {
      const auto at = parsed.positions.find(found.field);
      if (at != parsed.positions.end()) {
        found.line = at->second.first;
        found.column = at->second.second;
      }
      m_diagnostics.push_back(std::move(found));
    }
  }
  emit textChanged();
  if (changed) emit specChanged();
  emit diagnosticsChanged();
}

}  // namespace tera::gui
