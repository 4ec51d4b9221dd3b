#pragma once
#include <string_view>

namespace shoal::log {
enum class level { debug, info, warning, error, off };
enum class format { text, json };

/// Where the lines go: standard error. Lines below `least` are left out.
void start(level least, format shape);
/// One line, as long as those of its level are not too many; then one that says how many were left out. `event` names
/// what happened in the JSON form; both are text of our own or escaped.
void write(level severity, std::string_view event, std::string_view message);
/// Says what was left out in the end, and writes out what is still in a buffer.
void stop();
}  // namespace shoal::log
