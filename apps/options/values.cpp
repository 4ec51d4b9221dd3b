module;
#include <charconv>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <limits>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>

module shoal.options;

namespace shoal::options {
namespace {
/// Takes a whole number off the front of `text`.
std::optional<std::uint64_t> take_number(std::string_view& text) {
    std::uint64_t number = 0;
    auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{}) return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    return number;
}

std::optional<std::uint64_t> times(std::uint64_t number, std::uint64_t unit, std::uint64_t most) {
    if (number > most / unit) return std::nullopt;
    return number * unit;
}

constexpr std::pair<std::string_view, std::uint64_t> sizes[] = {
    {"", 1},
    {"B", 1},
    {"KiB", std::uint64_t{1} << 10},
    {"MiB", std::uint64_t{1} << 20},
    {"GiB", std::uint64_t{1} << 30},
    {"TiB", std::uint64_t{1} << 40},
    {"kB", 1000},
    {"MB", 1'000'000},
    {"GB", 1'000'000'000},
    {"TB", 1'000'000'000'000},
};
constexpr std::pair<std::string_view, std::uint64_t> durations[] = {
    {"ms", 1},
    {"s", 1000},
    {"m", 60'000},
    {"h", 3'600'000},
};
}  // namespace

std::optional<std::uint64_t> parse_size(std::string_view text) {
    auto const number = take_number(text);
    if (!number) return std::nullopt;
    for (auto const& [name, unit] : sizes)
        if (text == name) return times(*number, unit, std::numeric_limits<std::int64_t>::max());
    return std::nullopt;
}

std::optional<std::uint64_t> parse_rate(std::string_view text) {
    if (text.ends_with("/s")) text.remove_suffix(2);
    return parse_size(text);
}

std::optional<std::chrono::milliseconds> parse_duration(std::string_view text) {
    constexpr std::chrono::milliseconds most = std::chrono::years{1};
    auto const number = take_number(text);
    if (!number) return std::nullopt;
    for (auto const& [name, unit] : durations) {
        if (text != name) continue;
        auto const length = times(*number, unit, static_cast<std::uint64_t>(most.count()));
        if (!length) return std::nullopt;
        return std::chrono::milliseconds{*length};
    }
    return std::nullopt;
}

std::optional<endpoint> parse_address(std::string_view text) {
    return endpoint::parse(text);
}

std::filesystem::path state_folder(std::string_view program) {
    if (auto const* state = std::getenv("XDG_STATE_HOME"); state && *state == '/')
        return std::filesystem::path{state} / "shoal" / program;
    auto const* home = std::getenv("HOME");
    return std::filesystem::path{home && *home ? home : "."} / ".local/state/shoal" / program;
}
}  // namespace shoal::options
