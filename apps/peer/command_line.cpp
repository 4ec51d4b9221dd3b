module;
#include <CLI/CLI.hpp>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

module peer;
import shoal.core;
import :settings;

namespace shoal::cli {
namespace {
/// What every sub-command leaves behind: the options to run with, once their values are settled.
struct command {
    CLI::App* app;
    std::vector<CLI::Option*> required;  // checked after environment and file had their say
    std::function<int()> run;
};

/// An option whose text `parse` turns into `target`; `kind` is what the help calls it.
template <class Target, class Parse>
CLI::Option* add_parsed(CLI::App& app, std::string const& name, Target& target, Parse parse, std::string const& kind,
                        std::string const& help) {
    auto const store = [&target, parse, name, kind](std::string const& text) {
        auto const value = parse(text);
        if (!value) throw CLI::ValidationError(name, "'" + text + "' is no " + kind);
        target = *value;
    };
    return app.add_option_function<std::string>(name, store, help)->type_name(kind);
}

/// An option that may be given several times, one value each.
CLI::Option* add_list(CLI::App& app, std::string const& name, std::vector<std::string>& target, std::string const& kind,
                      std::string const& help) {
    return app.add_option(name, target, help + "; repeatable")->type_name(kind)->allow_extra_args(false);
}

/// A whole number from `least` to `most`.
auto number_within(std::uint32_t least, std::uint32_t most) {
    return [least, most](std::string const& text) -> std::optional<std::uint32_t> {
        auto const value = parse_size(text);
        if (!value || text.find_first_not_of("0123456789") != std::string::npos || *value < least || *value > most)
            return std::nullopt;
        return static_cast<std::uint32_t>(*value);
    };
}

void add_output(CLI::App& app, output_options& options) {
    app.add_flag("--json", options.json, "One JSON object per line on standard output");
    app.add_flag("--quiet", options.quiet, "No progress and no chatter");
}

void add_transfer(CLI::App& app, transfer_options& options) {
    add_parsed(app, "--listen", options.listen, endpoint::parse, "ADDR:PORT", "Peer port (default: any free one)");
    auto const connect = [&options](std::vector<std::string> const& texts) {
        for (auto const& text : texts) {
            auto const peer = endpoint::parse(text);
            if (!peer || peer->port == 0) throw CLI::ValidationError("--connect", "'" + text + "' is no IP:PORT");
            options.connect.push_back(*peer);
        }
    };
    app.add_option_function<std::vector<std::string>>("--connect", connect, "A peer to try first; repeatable")
        ->type_name("IP:PORT")
        ->allow_extra_args(false);
    add_list(app, "--tracker", options.trackers, "URL", "Announce URL besides the torrent's own");
    add_parsed(app, "--upload-limit", options.upload_limit, parse_size, "RATE", "Bytes a second; 0 is no limit");
    add_parsed(app, "--download-limit", options.download_limit, parse_size, "RATE", "Bytes a second; 0 is no limit");
    add_parsed(app, "--peers-max", options.peers_max, number_within(1, 65'535), "N", "Connected peers per torrent");
    app.add_flag_callback("--no-dht", [&options] { options.dht = false; }, "Accepted; there is no DHT yet");
    app.add_flag_callback("--no-lsd", [&options] { options.lsd = false; }, "Accepted; there is no LSD yet");
    app.add_flag_callback("--no-pex", [&options] { options.pex = false; }, "Accepted; there is no PEX yet");
    app.add_flag_callback("--no-utp", [&options] { options.utp = false; }, "Accepted; there is no uTP yet");
    auto const encryption_of = [](std::string const& text) -> std::optional<encryption> {
        std::map<std::string, encryption> const names{
            {"prefer", encryption::prefer}, {"require", encryption::require}, {"off", encryption::off}};
        auto const found = names.find(text);
        if (found == names.end()) return std::nullopt;
        return found->second;
    };
    add_parsed(app, "--encryption", options.encryption, encryption_of, "prefer|require|off", "Of peer connections");
    app.add_option("--state", options.state, "Journals (default: $XDG_STATE_HOME/shoal/peer)")->type_name("DIR");
    add_output(app, options.output);
}

command declare_create(CLI::App& program, create_options& options) {
    auto& app = *program.add_subcommand("create", "Make a torrent of a file or a folder");
    auto* path = app.add_option("PATH", options.source, "File or folder; links, devices and sockets are left out");
    auto* torrent = app.add_option("-o,--output", options.torrent, "Torrent file to write (replaces an older one)");
    torrent->type_name("FILE.torrent");
    add_list(app, "--tracker", options.trackers, "URL", "Announce URL, a tier of its own");
    add_parsed(app, "--piece-length", options.piece_length, parse_size, "SIZE",
               "A power of two from 16KiB (default: 512KiB, more for large content)");
    auto const format_of = [](std::string const& text) -> std::optional<torrent_format> {
        std::map<std::string, torrent_format> const names{
            {"hybrid", torrent_format::hybrid}, {"v1", torrent_format::v1}, {"v2", torrent_format::v2}};
        auto const found = names.find(text);
        if (found == names.end()) return std::nullopt;
        return found->second;
    };
    add_parsed(app, "--format", options.format, format_of, "hybrid|v1|v2", "BitTorrent versions (default: hybrid)");
    app.add_flag("--private", options.is_private, "Peers come from the trackers only");
    add_list(app, "--web-seed", options.web_seeds, "URL", "URL of the content");
    app.add_option("--comment", options.comment, "Text for people")->type_name("TEXT");
    app.add_option("--name", options.name, "Name of the content (default: last element of PATH)")->type_name("TEXT");
    add_parsed(app, "--threads", options.threads, number_within(0, 1024), "N", "Hashing threads (default: all cores)");
    add_output(app, options.output);
    return {&app, {path, torrent}, [&options] { return run_create(options); }};
}

command declare_show(CLI::App& program, show_options& options) {
    auto& app = *program.add_subcommand("show", "Print what a torrent file or magnet link says");
    auto* target = app.add_option("TARGET", options.target, "Torrent file or magnet link");
    add_output(app, options.output);
    return {&app, {target}, [&options] { return run_show(options); }};
}

command declare_verify(CLI::App& program, verify_options& options) {
    auto& app = *program.add_subcommand("verify", "Check content on disk; says which pieces are bad or missing");
    auto* torrent = app.add_option("TORRENT", options.torrent, "Torrent file");
    auto* directory = app.add_option("DIR", options.directory, "Folder that holds the torrent's content");
    add_parsed(app, "--threads", options.threads, number_within(0, 1024), "N", "Hashing threads (default: all cores)");
    add_output(app, options.output);
    return {&app, {torrent, directory}, [&options] { return run_verify(options); }};
}

command declare_seed(CLI::App& program, seed_options& options) {
    auto& app = *program.add_subcommand("seed", "Serve content until a signal comes");
    auto* torrent = app.add_option("TORRENT", options.torrent, "Torrent file");
    auto* directory = app.add_option("DIR", options.directory, "Folder that holds the torrent's content");
    add_transfer(app, options.transfer);
    return {&app, {torrent, directory}, [&options] { return run_seed(options); }};
}

command declare_get(CLI::App& program, get_options& options) {
    auto& app = *program.add_subcommand("get", "Fetch content");
    auto* targets = app.add_option("TARGET", options.targets, "Torrent files, magnet links, URLs or names");
    auto* directory = app.add_option("-o,--output", options.directory, "Folder for the content")->type_name("DIR");
    app.add_flag("--seed", options.seed, "Go on seeding when complete");
    auto const ratio = [](std::string const& text) -> std::optional<double> {
        char* end = nullptr;
        auto const value = std::strtod(text.c_str(), &end);
        if (text.empty() || *end != '\0' || !(value >= 0 && value < 1e9)) return std::nullopt;
        return value;
    };
    add_parsed(app, "--seed-ratio", options.seed_ratio, ratio, "N", "Seed until uploaded / size is N");
    add_parsed(app, "--seed-time", options.seed_time, parse_duration, "DURATION", "Seed for this long");
    add_parsed(app, "--timeout", options.timeout, parse_duration, "DURATION", "Give up with status 7");
    add_list(app, "--select", options.select, "PATTERN", "Take only files that match (*, ?)");
    app.add_flag("--sequential", options.sequential, "Take pieces in order");
    add_transfer(app, options.transfer);
    return {&app, {targets, directory}, [&options] { return run_get(options); }};
}

std::filesystem::path default_state() {
    if (auto const* state = std::getenv("XDG_STATE_HOME"); state && *state == '/')
        return std::filesystem::path{state} / "shoal/peer";
    auto const* home = std::getenv("HOME");
    return std::filesystem::path{home && *home ? home : "."} / ".local/state/shoal/peer";
}

int wrong_usage(std::string_view message) {
    return output{{}}.fail(exit_status::wrong_usage, escaped(message) + " (see peer --help)");
}
}  // namespace

int run(int argc, char** argv) {
    CLI::App program{"Makes, checks, serves and fetches BitTorrent content.", "peer"};
    program.set_version_flag("--version", "peer (shoal) " SHOAL_VERSION);
    program.require_subcommand(1);
    program.fallthrough();
    std::string file;
    program.add_option("--config", file, "TOML file with further options")->type_name("FILE");
    program.footer(
        "Every option --some-name can also come from the environment as SHOAL_SOME_NAME (several values\n"
        "apart by blanks) and from the file of --config: some-name = VALUE, for one command in [command].");

    create_options create;
    show_options show;
    verify_options verify;
    seed_options seed;
    get_options get;
    std::vector<command> const commands{declare_create(program, create), declare_show(program, show),
                                        declare_verify(program, verify), declare_seed(program, seed),
                                        declare_get(program, get)};
    std::vector<CLI::App*> unbuilt;
    for (auto const* name : {"share", "find", "console", "daemon"}) {
        unbuilt.push_back(program.add_subcommand(name, "")->group("Not built yet")->allow_extras()->fallthrough(false));
        unbuilt.back()->set_help_flag();
    }

    try {
        program.parse(argc, argv);
        for (auto const* app : unbuilt)
            if (app->parsed()) return output{{}}.fail(exit_status::failed, app->get_name() + " is not built yet");
        settle(program, file);
    } catch (CLI::Success const& shown) {
        return program.exit(shown);  // --help, --version
    } catch (CLI::Error const& error) {
        return wrong_usage(error.what());
    }
    for (auto* transfer : {&seed.transfer, &get.transfer})
        if (transfer->state.empty()) transfer->state = default_state();
    get.seed = get.seed || get.seed_ratio || get.seed_time;
    for (auto const& each : commands) {
        if (!each.app->parsed()) continue;
        for (auto const* option : each.required)
            if (option->empty()) return wrong_usage(each.app->get_name() + ": " + option->get_name() + " is missing");
        return each.run();
    }
    return wrong_usage("a command is missing");
}
}  // namespace shoal::cli
