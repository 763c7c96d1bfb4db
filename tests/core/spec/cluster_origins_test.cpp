#include "core/spec/cluster_origins.h"

#include <gtest/gtest.h>

#include "core/spec/presets.h"

namespace tera::spec {
namespace {

TEST(ClusterOrigins, AreThoseOfTheSources) {
  Cluster cluster = cluster_preset("h100-ib")->cluster;
  const auto origins = cluster_origins(cluster).fields;
  EXPECT_EQ(origins.at("cluster.device.matmul_efficiency"), Origin::calibrated);
  EXPECT_EQ(origins.at("cluster.intra_node.efficiency"), Origin::calibrated);
  EXPECT_FALSE(origins.contains("cluster.device.peak_flops_per_s_bf16")) << "a data sheet";
  EXPECT_FALSE(origins.contains("cluster.device.price_usd_per_h")) << "an assumption";
}

TEST(ClusterOrigins, WhatAPersonChangesIsTheirs) {
  Cluster cluster = cluster_preset("h100-ib")->cluster;
  cluster.device.matmul_efficiency = 0.5;
  const auto origins = cluster_origins(cluster).fields;
  EXPECT_FALSE(origins.contains("cluster.device.matmul_efficiency"));
  EXPECT_TRUE(origins.contains("cluster.device.attention_efficiency"));
  cluster.preset = "no such";
  EXPECT_TRUE(cluster_origins(cluster).fields.empty());
}

}  // namespace
}  // namespace tera::spec
