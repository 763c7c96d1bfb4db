// Edits one place of a YAML text and leaves everything else, comments included, as the author wrote
// it, line ends too. Handles what a spec looks like: nested block mappings, and flow mappings on
// one line.
#pragma once
#include <optional>
#include <string>
#include <string_view>

namespace tera::gui {

// The text with the scalar at "model.num_layers" replaced, or inserted where its section is. value
// is YAML, in quotes where it needs them.
// nullopt: the text has a shape this does not edit; callers verify the result by parsing it.
std::optional<std::string> patchYamlScalar(std::string_view text,
                                           std::string_view path,
                                           std::string_view value);

// The lines of a top-level section, its key line included; empty when there is none.
std::string yamlSection(std::string_view text, std::string_view name);

// The text with the top-level section `name` replaced by `lines` (its own key line included, ending
// in a newline), or appended.
std::string replaceYamlSection(std::string_view text,
                               std::string_view name,
                               std::string_view lines);

}  // namespace tera::gui
