// Which fields of a spec stand in which section of the three forms of the Design page.
#pragma once
#include <vector>

#include "gui/widgets/field_form.h"

namespace tera::gui {

std::vector<FormSection> modelSections();
std::vector<FormSection> trainingSections();
std::vector<FormSection> layoutSections();

}  // namespace tera::gui
