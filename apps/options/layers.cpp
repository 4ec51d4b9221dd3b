#include "options/layers.hpp"

#include <toml++/toml.h>
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <iostream>
#include <map>
#include <sstream>
#include <string_view>

import shoal.core;

namespace shoal::options {
namespace {
using settings = std::map<std::string, std::vector<std::string>>;

std::string long_name(CLI::Option const& option) {
    auto const& names = option.get_lnames();
    return names.empty() ? std::string{} : names.front();
}

std::string environment_name(std::string name) {
    for (auto& c : name) c = c == '-' ? '_' : static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    return "SHOAL_" + name;
}

std::vector<std::string> words(std::string const& text) {
    std::istringstream in(text);
    std::vector<std::string> out;
    for (std::string word; in >> word;) out.push_back(word);
    return out;
}

std::string text_of(toml::node const& node, std::string const& key) {
    if (auto const text = node.value_exact<std::string>()) return *text;
    if (auto const number = node.value_exact<std::int64_t>()) return std::to_string(*number);
    if (auto const truth = node.value_exact<bool>()) return *truth ? "true" : "false";
    if (auto const number = node.value_exact<double>()) {
        std::ostringstream out;
        out << *number;
        return out.str();
    }
    throw CLI::ValidationError("--config", "the value of " + key + " is neither text, number nor truth");
}

settings read_file(std::string const& path) {
    settings out;
    try {
        for (auto&& [name, node] : toml::parse_file(path)) {
            std::string key{name.str()};
            std::replace(key.begin(), key.end(), '_', '-');
            auto& values = out[key];
            if (auto const* const array = node.as_array()) {
                for (auto&& element : *array) values.push_back(text_of(element, key));
            } else {
                values.push_back(text_of(node, key));
            }
        }
    } catch (toml::parse_error const& wrong) {
        std::ostringstream where;
        where << path << ":";
        if (wrong.source().begin) where << wrong.source().begin.line << ":";
        where << " " << wrong.description();
        throw CLI::ValidationError("--config", where.str());
    }
    return out;
}

bool is_list(CLI::Option const& option) {
    return option.get_multi_option_policy() == CLI::MultiOptionPolicy::TakeAll || option.get_expected_max() > 1;
}

void set(CLI::Option& option, std::vector<std::string> const& values) {
    for (auto const& value : values) option.add_result(value);
    option.run_callback();
}

/// Whether any sub-command, chosen or not, knows the option.
bool knows(CLI::App const& app, std::string const& name) {
    if (app.get_option_no_throw("--" + name) != nullptr) return true;
    auto const parts = app.get_subcommands([](CLI::App const*) { return true; });
    return std::any_of(parts.begin(), parts.end(), [&](CLI::App const* part) { return knows(*part, name); });
}

void fill_in(CLI::App& app, settings const& file) {
    for (auto* const option : app.get_options()) {
        auto const name = long_name(*option);
        if (name.empty() || name == "help" || name == "version" || option->count() > 0) continue;
        if (auto const* const text = std::getenv(environment_name(name).c_str()); text != nullptr && *text != '\0')
            set(*option, is_list(*option) ? words(text) : std::vector<std::string>{text});
        else if (auto const known = file.find(name); known != file.end() && name != "config")
            set(*option, known->second);
    }
    for (auto* const part : app.get_subcommands()) fill_in(*part, file);
}
}  // namespace

std::optional<int> read(CLI::App& app, int argc, char const* const* argv) {
    std::string config;
    auto* const config_option =
        app.add_option("--config", config, "TOML file with options: interval = \"30m\"")->type_name("FILE");
    try {
        app.parse(argc, argv);
        if (auto const* const path = std::getenv("SHOAL_CONFIG"); config_option->count() == 0 && path != nullptr)
            config = path;
        auto const file = config.empty() ? settings{} : read_file(config);
        for (auto const& [key, values] : file)
            if (!knows(app, key)) throw CLI::ValidationError("--config", config + ": no option is called " + key);
        fill_in(app, file);
    } catch (CLI::ParseError const& wrong) {
        if (wrong.get_exit_code() == 0) return app.exit(wrong, std::cout, std::cerr);
        // Some messages of CLI11 have several lines; one is enough.
        std::string_view const message = wrong.what();
        std::cerr << app.get_name() << ": " << escaped(message.substr(0, message.find('\n'))) << '\n';
        return 2;
    }
    return std::nullopt;
}
}  // namespace shoal::options
