module;
#include <toml++/toml.h>
#include <CLI/CLI.hpp>
#include <array>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <optional>
#include <sstream>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

/// Values of options: their written forms, and where they come from when the command line does not have them.
module peer:settings;

namespace shoal::cli {
struct unit {
    std::string_view name;
    std::uint64_t factor;
};

/// A whole number and one of `units`; `bare` is what a number without a unit counts.
template <std::size_t Count>
std::optional<std::uint64_t> parse_with_unit(std::string_view text, std::array<unit, Count> const& units,
                                             std::optional<std::uint64_t> bare) {
    std::uint64_t number = 0;
    auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc{}) return std::nullopt;
    auto const suffix = text.substr(static_cast<std::size_t>(end - text.data()));
    auto factor = suffix.empty() ? bare : std::nullopt;
    for (auto const& each : units)
        if (suffix == each.name) factor = each.factor;
    if (!factor || number > std::numeric_limits<std::int64_t>::max() / *factor) return std::nullopt;
    return number * *factor;
}
/// `1500`, `512KiB`, `10MB`: bytes. Nothing for anything else and for more than 2^63 - 1.
std::optional<std::uint64_t> parse_size(std::string_view text) {
    constexpr std::uint64_t k = 1024;
    constexpr std::array<unit, 9> units{{{"B", 1},
                                         {"KiB", k},
                                         {"MiB", k * k},
                                         {"GiB", k * k * k},
                                         {"TiB", k * k * k * k},
                                         {"kB", 1000},
                                         {"MB", 1'000'000},
                                         {"GB", 1'000'000'000},
                                         {"TB", 1'000'000'000'000}}};
    return parse_with_unit(text, units, 1);
}

/// `500ms`, `30s`, `5m`, `2h`. Nothing for anything else.
std::optional<std::chrono::milliseconds> parse_duration(std::string_view text) {
    constexpr std::array<unit, 4> units{{{"ms", 1}, {"s", 1000}, {"m", 60'000}, {"h", 3'600'000}}};
    auto const number = parse_with_unit(text, units, std::nullopt);
    if (!number) return std::nullopt;
    return std::chrono::milliseconds{static_cast<std::int64_t>(*number)};
}

/// `--upload-limit` is `upload-limit` in a file and `SHOAL_UPLOAD_LIMIT` in the environment.
std::string environment_name(std::string const& name) {
    std::string result = "SHOAL_";
    for (char const c : name) result += c == '-' ? '_' : static_cast<char>(c >= 'a' && c <= 'z' ? c - 'a' + 'A' : c);
    return result;
}

/// One value of the file as an option would be given it.
std::string text_of(toml::node const& node, std::string const& key) {
    if (auto const* text = node.as_string()) return text->get();
    if (auto const* number = node.as_integer()) return std::to_string(number->get());
    if (auto const* flag = node.as_boolean()) return flag->get() ? "true" : "false";
    if (auto const* number = node.as_floating_point()) {
        std::ostringstream text;
        text << number->get();
        return text.str();
    }
    throw CLI::ConfigError("'" + key + "' in the configuration file has a value of a wrong kind");
}

std::vector<std::string> texts_of(toml::node const& node, std::string const& key) {
    std::vector<std::string> texts;
    if (auto const* list = node.as_array())
        for (auto const& each : *list) texts.push_back(text_of(each, key));
    else
        texts.push_back(text_of(node, key));
    return texts;
}

/// The texts that environment or file have for the option `name` of `command`; empty when neither has.
std::vector<std::string> texts_elsewhere(CLI::Option const& option, std::string const& name, std::string const& command,
                                         toml::table const& file) {
    if (auto const* value = std::getenv(environment_name(name).c_str()); value && *value) {
        if (!option.get_allow_extra_args() && option.get_items_expected_max() <= 1 &&
            option.get_multi_option_policy() != CLI::MultiOptionPolicy::TakeAll)
            return {value};
        std::vector<std::string> words;
        std::istringstream text{value};
        for (std::string word; text >> word;) words.push_back(word);
        return words;
    }
    if (auto const* section = file[command].as_table())
        if (auto const* node = section->get(name)) return texts_of(*node, name);
    if (auto const* node = file.get(name); node && !node->is_table()) return texts_of(*node, name);
    return {};
}

/// Gives the options of the parsed sub-command that the command line left out the values of the environment, else those
/// of the TOML file. Throws `CLI::Error` for a file that cannot be read and for a value that does not fit.
void settle(CLI::App& program, std::string file_name) {
    if (auto const* named = std::getenv("SHOAL_CONFIG"); file_name.empty() && named) file_name = named;
    toml::table file;
    if (!file_name.empty()) {
        try {
            file = toml::parse_file(file_name);
        } catch (toml::parse_error const& error) {
            throw CLI::ConfigError(file_name + ": " + std::string{error.description()});
        }
    }
    for (auto* app : program.get_subcommands()) {
        for (auto* option : app->get_options()) {
            if (option->get_lnames().empty() || !option->empty()) continue;
            auto const& name = option->get_lnames().front();
            if (name == "help") continue;
            auto const texts = texts_elsewhere(*option, name, app->get_name(), file);
            if (texts.empty()) continue;
            for (auto const& text : texts) option->add_result(text);
            option->run_callback();
        }
    }
}
}  // namespace shoal::cli
