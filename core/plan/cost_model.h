// What a whole run takes: time under failures, device hours, money, energy, CO2e.
#pragma once
#include "core/plan/term.h"
#include "core/spec/run_spec.h"

namespace tera::plan {

struct RunCost {
  double tokens = 0;
  double run_s = 0;    // wall clock, failures included
  double goodput = 1;  // share of run_s that trains
  double device_hours = 0;
  double usd = 0;
  double kwh = 0;
  double tco2e = 0;
  Term terms;  // children: time, device hours, usd, kWh, tCO2e, each with its formula (not summed)
};
// busy_share: of a step in which a device computes (its power is then the limit).
RunCost plan_cost(const spec::RunSpec& spec, double step_s, double busy_share);

// Share of time that trains, when a cluster fails every mtbf_s and each failure costs the restart
// and half a checkpoint interval. Between 0 and 1. Source: Young 1974, Daly 2006.
double goodput(double checkpoint_interval_s, double checkpoint_s, double restart_s, double mtbf_s);

}  // namespace tera::plan
