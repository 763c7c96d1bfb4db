// Print and parse quantities the way a person writes them. Memory in GiB (2^30); links, disks and
// rates in SI (10^9).
#pragma once
#include <cstdint>
#include <string>
#include <string_view>

#include "core/base/result.h"

namespace tera {

std::string format_bytes(double bytes);                        // "54.2 GiB", "812 MiB", "96 B"
std::string format_count(double count);                        // "6.92 B", "124 M", "512"
std::string format_rate(double per_s, std::string_view unit);  // "12.3 M tok/s", "989 TFLOP/s"
std::string format_seconds(double seconds);      // "4.60 s", "12 min 5 s", "11.9 d", "85 us"
std::string format_age(double seconds);          // "5 s", "3 min", "7 h", "12 d": whole units
std::string format_hours(double hours);          // of devices: "2.56 k h", "12.0 ms"
std::string format_money(double usd);            // "$9.8 M", "$34,400"
std::string format_energy(double kwh);           // "4.92 GWh", "300 Wh", "12.0 mWh"
std::string format_emissions(double tonnes);     // of CO2e: "2.70 g CO2e", "1.20 kt CO2e"
std::string format_percent(double ratio);        // 0.412 -> "41.2 %"
std::string format_integer(std::int64_t value);  // "16,384"
// The value of a spec field with its unit ("B", "s", "flop/s", "B/s", "tokens", ...).
std::string format_quantity(double value, std::string_view unit);

// "7168", "7k", "7*1024", "1.5e12", "80GiB", "3.35 TB/s" -> number. k, M, G, B(illion), T are
// decimal; Ki, Mi, Gi, Ti binary. Errors name the text and an example.
Result<double> parse_quantity(std::string_view text);

}  // namespace tera
