// Families of models that published rows name, and what public facts say of their architecture
// where rows do not.
#pragma once
#include <cstdint>
#include <span>
#include <string_view>

namespace tera::plan {

// How a family differs from the preset it starts from.
enum class FamilyChange : std::uint8_t {
  none,
  no_biases,
  squared_relu,
  parallel_block,
  no_prediction,
  maybe_prediction,
  tied_if_narrow
};

// Of a size whose rows do not give them; 0 = they do.
struct FamilyDims {
  int layers = 0;
  int hidden = 0;
  int heads = 0;
  int ffn = 0;
};

struct PublishedFamily {
  std::string_view prefix;  // of the model's name
  std::string_view preset;
  FamilyChange change = FamilyChange::none;
  // Tokenizer's words where the row does not give them, padded to multiples of 128 x TP as by
  // Megatron-LM; 0 = unknown.
  int words = 0;
  int seq_length = 0;     // 0 = rows say it
  bool has_dims = false;  // dims missing in the row are the preset's
  FamilyDims dims = {};
  bool has_dense_attention = true;  // as many key-value heads as heads where the row does not say
  std::string_view not_modelled = {};
  std::string_view group = {};  // of rows; empty: any
  int usual_heads = 0;          // of rows that do not say; 0 = unknown
};

std::span<const PublishedFamily> families();
// Of a model in a group of rows; null for a model that is not known.
const PublishedFamily* family_of(std::string_view model, std::string_view group);

}  // namespace tera::plan
