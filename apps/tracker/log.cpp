#include "log.hpp"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <array>
#include <boost/json/serialize.hpp>
#include <memory>
#include <string>

namespace shoal::log {
namespace {
format shape_of_lines = format::text;

spdlog::level::level_enum spdlog_level(level of) {
    constexpr std::array levels{spdlog::level::debug, spdlog::level::info, spdlog::level::warn, spdlog::level::err,
                                spdlog::level::off};
    return levels[static_cast<std::size_t>(of)];
}
std::string quoted(std::string_view text) {
    return boost::json::serialize(boost::json::string_view{text.data(), text.size()});
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
    if (!spdlog::should_log(to)) return;
    if (shape_of_lines == format::json)
        spdlog::log(to, R"("event":{},"message":{})", quoted(event), quoted(message));
    else
        spdlog::log(to, "{}", fmt::string_view{message.data(), message.size()});
}

void stop() {
    spdlog::shutdown();
}
}  // namespace shoal::log
