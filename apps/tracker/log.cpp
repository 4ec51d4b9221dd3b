#include "log.hpp"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <array>
#include <boost/json/serialize.hpp>
#include <chrono>
#include <memory>
#include <string>

import shoal.core;
import shoal.options;

namespace shoal::log {
namespace {
format shape_of_lines = format::text;

spdlog::level::level_enum spdlog_level(level of) {
    constexpr std::array levels{spdlog::level::debug, spdlog::level::info, spdlog::level::warn, spdlog::level::err,
                                spdlog::level::off};
    return levels[static_cast<std::size_t>(of)];
}
/// One for each level, so that what strangers do often hides no warning. Who wants to see each announce gets more
/// lines.
std::array gates{options::log_gate{{.burst = 1000, .per_second = 50}}, options::log_gate{options::log_pace},
                 options::log_gate{options::log_pace}, options::log_gate{options::log_pace}};

std::string quoted(std::string_view text) {
    return boost::json::serialize(boost::json::string_view{text.data(), text.size()});
}
void write_line(spdlog::level::level_enum to, std::string_view event, std::string_view message) {
    if (shape_of_lines == format::json)
        spdlog::log(to, R"("event":{},"message":{})", quoted(event), quoted(message));
    else
        spdlog::log(to, "{}", fmt::string_view{message.data(), message.size()});
}
}  // namespace

void start(level least, format shape) {
    shape_of_lines = shape;
    auto log = std::make_shared<spdlog::logger>("", std::make_shared<spdlog::sinks::stderr_sink_st>());
    log->set_level(spdlog_level(least));
    log->flush_on(spdlog::level::info);
    log->set_pattern(
        shape == format::text ? "%Y-%m-%d %H:%M:%S.%e %l: %v" : R"({"time":"%Y-%m-%dT%H:%M:%S.%eZ","level":"%l",%v})",
        shape == format::text ? spdlog::pattern_time_type::local : spdlog::pattern_time_type::utc);
    spdlog::set_default_logger(std::move(log));
}

void write(level severity, std::string_view event, std::string_view message) {
    auto const to = spdlog_level(severity);
    if (severity == level::off || !spdlog::should_log(to)) return;
    auto const before = gates[static_cast<std::size_t>(severity)].admit(std::chrono::steady_clock::now());
    if (!before) return;
    if (*before > 0) write_line(to, "log", options::left_out_line(*before));
    write_line(to, event, message);
}

void stop() {
    for (auto const severity : {level::debug, level::info, level::warning, level::error})
        if (auto const count = gates[static_cast<std::size_t>(severity)].left_out(); count > 0)
            write_line(spdlog_level(severity), "log", options::left_out_line(count));
    spdlog::shutdown();
}
}  // namespace shoal::log
