// What the model is trained on: token files with their manifests, and how they are mixed.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "core/base/fields.h"

namespace tera::spec {

struct DatasetConfig {
  std::string path;      // prefix of .bin, .idx and .tgd.json; relative to the spec's file
  std::string manifest;  // id of the manifest; empty accepts the one found
  double weight = 1;     // share of tokens, in the first blend stage
  bool operator==(const DatasetConfig&) const = default;

  template <class Self, class Visitor>
  static void visit_fields(Self& self, Visitor&& visit) {
    visit(Field{.name = "path", .help = "Prefix of the token files.", .required = true}, self.path);
    visit(
        Field{.name = "manifest", .help = "Manifest id (SHA-256); a different one stops the run."},
        self.manifest);
    visit(Field{.name = "weight",
                .min = 0,
                .max = 1e12,
                .step = 0.1,
                .help = "Share of tokens; weights are normalised."},
          self.weight);
  }
};

struct BlendStage {  // weights that hold from a sample on; the first stage is the datasets' weight
  std::int64_t from_sample = 0;
  std::vector<double> weights;  // one per dataset
  bool operator==(const BlendStage&) const = default;

  template <class Self, class Visitor>
  static void visit_fields(Self& self, Visitor&& visit) {
    visit(Field{.name = "from_sample",
                .unit = "sequences",
                .min = 0,
                .max = 1e15,
                .help = "First sample of the stage.",
                .required = true},
          self.from_sample);
    visit(Field{.name = "weights",
                .min = 0,
                .max = 1e12,
                .help = "One weight per dataset.",
                .required = true},
          self.weights);
  }
};

struct DataConfig {
  std::vector<DatasetConfig> datasets;
  std::vector<BlendStage> blend_stages;  // later stages, by from_sample
  std::string tokenizer;                 // path of tokenizer.json; relative to the spec's file
  bool cross_document_attention = false;
  bool operator==(const DataConfig&) const = default;

  template <class Self, class Visitor>
  static void visit_fields(Self& self, Visitor&& visit) {
    visit(Field{.name = "datasets", .help = "Token files to train on."}, self.datasets);
    visit(Field{.name = "blend_stages", .help = "Changes of the weights during the run."},
          self.blend_stages);
    visit(Field{.name = "tokenizer", .help = "Path of tokenizer.json."}, self.tokenizer);
    visit(Field{.name = "cross_document_attention",
                .help = "Let tokens attend across document boundaries."},
          self.cross_document_attention);
  }
};

}  // namespace tera::spec
