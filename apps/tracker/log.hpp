#pragma once
#include <string_view>

namespace shoal::log {
enum class level { debug, info, warning, error, off };
enum class format { text, json };

/// Where the lines go: standard error. Lines below `least` are left out.
void start(level least, format shape);
/// One line. `event` names what happened in the JSON form; both are text of our own or escaped.
void write(level severity, std::string_view event, std::string_view message);
/// Writes out what is still in a buffer.
void stop();
}  // namespace shoal::log
