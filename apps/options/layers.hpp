#pragma once
// Include it above all imports.
#include <CLI/CLI.hpp>
#include <functional>
#include <optional>
#include <string>
#include <vector>

namespace shoal::options {
/// Reads the options of `app` and of its chosen sub-commands from four places: the command line, else the environment
/// (`--upload-limit` is `SHOAL_UPLOAD_LIMIT`; several values are separated by white space), else the TOML file that
/// `--config` or `SHOAL_CONFIG` names (`upload-limit = "1MiB"`, also `upload_limit`), else the default. Adds
/// `--config`.
///
/// Nothing when the program is to go on. Otherwise it has said what there is to say and this is the exit status: 0
/// after
/// `--help` and `--version`, 2 for wrong usage, said in one line on standard error.
/// Callbacks of sub-commands would run before the environment is read: act on the result of this function instead.
std::optional<int> read(CLI::App& app, int argc, char const* const* argv);

/// Adds an option whose text `parse` turns into an optional value; `what` names the kind in the complaint and the help.
template <class Value, class Parse>
CLI::Option* add(CLI::App& app, std::string const& name, Value& target, Parse parse, std::string const& what,
                 std::string const& help) {
    auto take = [&target, parse, name, what](std::string const& text) {
        auto const value = parse(text);
        if (!value) throw CLI::ValidationError(name, "\"" + text + "\" is not " + what);
        target = Value(*value);
    };
    return app.add_option_function<std::string>(name, take, help);
}

/// The same for an option that may be given several times.
template <class Value, class Parse>
CLI::Option* add(CLI::App& app, std::string const& name, std::vector<Value>& target, Parse parse,
                 std::string const& what, std::string const& help) {
    auto take = [&target, parse, name, what](std::vector<std::string> const& texts) {
        target.clear();
        for (auto const& text : texts) {
            auto const value = parse(text);
            if (!value) throw CLI::ValidationError(name, "\"" + text + "\" is not " + what);
            target.push_back(Value(*value));
        }
    };
    return app.add_option_function<std::vector<std::string>>(name, take, help)->expected(1)->take_all();
}
}  // namespace shoal::options
