module;
#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "options/layers.hpp"

module peer;
import shoal.core;
import shoal.metainfo;
import shoal.options;
import :confining;

namespace shoal::cli {
namespace {
/// One sub-command: declared here, run when it was chosen and has all it needs.
struct command {
    CLI::App* app;
    std::vector<CLI::Option*> required;  // from any of the places that options come from
    output_options const* output;
    std::function<int()> run;
    std::function<ground()> on;  // empty: it starts other programs, and is not confined
    bool is_free = false;        // --no-sandbox
};

template <class Options>
std::function<ground()> needs(Options const& options) {
    return [&options] { return ground_of(options); };
}

/// An option whose text `parse` turns into `target`; `kind` is what help and complaint call it.
template <class Target, class Parse>
void add(CLI::App& app, std::string const& name, Target& target, Parse parse, std::string const& kind,
         std::string const& help) {
    options::add(app, name, target, parse, kind, help)->type_name(kind);
}

/// An option that may be given several times, one value each.
void add_list(CLI::App& app, std::string const& name, std::vector<std::string>& target, std::string const& kind,
              std::string const& help) {
    app.add_option(name, target, help + "; repeatable")->type_name(kind)->expected(1)->take_all();
}

/// Reads a whole number from `least` to `most`.
auto number_within(std::uint32_t least, std::uint32_t most) {
    return [least, most](std::string const& text) -> std::optional<std::uint32_t> {
        auto const value = options::parse_size(text);
        if (text.find_first_not_of("0123456789") != std::string::npos || !value) return std::nullopt;
        if (*value < least || *value > most) return std::nullopt;
        return static_cast<std::uint32_t>(*value);
    };
}

/// Reads one of a few words.
template <class Value>
auto one_of(std::map<std::string, Value> const& words) {
    return [words](std::string const& text) -> std::optional<Value> {
        auto const found = words.find(text);
        if (found == words.end()) return std::nullopt;
        return found->second;
    };
}

void add_output(CLI::App& app, output_options& into) {
    app.add_flag("--json", into.json, "One JSON object per line on standard output");
    app.add_flag("--quiet", into.quiet, "No progress and no chatter");
}

/// A power of two that a v2 torrent can have; 0 leaves it to the program.
std::optional<std::uint64_t> parse_piece_length(std::string_view text) {
    auto const length = options::parse_size(text);
    if (!length || *length == 0) return length;
    if (!std::has_single_bit(*length) || *length < block_length || *length > metainfo::limits{}.piece_length_max)
        return std::nullopt;
    return length;
}

void add_piece_length(CLI::App& app, std::uint64_t& into) {
    options::add(app, "--piece-length", into, parse_piece_length, "a power of two from 16KiB to 512MiB",
                 "A power of two from 16KiB (default: 512KiB, more for large content)")
        ->type_name("SIZE");
}

void add_threads(CLI::App& app, std::uint32_t& into) {
    add(app, "--threads", into, number_within(0, 1024), "N", "Hashing threads (default: one for each core)");
}

/// A tracker's URL. Of http without a path it is a hub's as people call its page: peers announce to `/announce` there.
std::optional<std::string> parse_tracker(std::string const& text) {
    if (!metainfo::is_tracker_url(text)) return std::nullopt;
    auto const host = text.find("://") + 3;
    auto const scheme = std::string_view{text}.substr(0, host - 3);
    if (!equal_without_case(scheme, "http") && !equal_without_case(scheme, "https")) return text;
    auto const end = std::min(text.find_first_of("/?#", host), text.size());
    auto const rest = std::string_view{text}.substr(text[end] == '/' ? end + 1 : end);
    bool const has_path = !rest.empty() && rest.front() != '?' && rest.front() != '#';
    return has_path ? text : text.substr(0, end).append("/announce").append(rest);
}

void add_trackers(CLI::App& app, std::vector<std::string>& into, std::string const& help) {
    options::add(app, "--tracker", into, parse_tracker, "an http, https or udp URL", help + "; repeatable")
        ->type_name("URL");
}

void add_transfer(CLI::App& app, transfer_options& into) {
    add(app, "--listen", into.listen, options::parse_address, "ADDR:PORT", "Peer port (default: any free one)");
    auto const peer_address = [](std::string const& text) {
        auto const peer = options::parse_address(text);
        return peer && peer->port != 0 ? peer : std::nullopt;
    };
    add(app, "--connect", into.connect, peer_address, "IP:PORT", "A peer to try first; repeatable");
    add_trackers(app, into.trackers, "Announce URL besides the torrent's own");
    add(app, "--upload-limit", into.upload_limit, options::parse_rate, "RATE", "Bytes a second; 0 is no limit");
    add(app, "--download-limit", into.download_limit, options::parse_rate, "RATE", "Bytes a second; 0 is no limit");
    add(app, "--peers-max", into.peers_max, number_within(1, 65'535), "N", "Connected peers per torrent");
    app.add_flag_callback("--no-dht", [&into] { into.dht = false; }, "Take no part in the DHT");
    add(app, "--dht-node", into.dht_routers, metainfo::parse_host_port, "HOST:PORT",
        "A node of the DHT to begin with, instead of the usual ones; repeatable");
    app.add_flag_callback(
        "--no-lsd", [&into] { into.lsd = false; }, "Neither tell nor hear of peers on the local network");
    app.add_flag_callback(
        "--no-pex", [&into] { into.pex = false; }, "Tell peers of no others, and hear of none from them");
    app.add_flag_callback("--no-utp", [&into] { into.utp = false; }, "Take and make no connections by uTP");
    add(app, "--scrub", into.scrub, options::parse_duration, "DURATION",
        "Read all content again within so long, to notice what the disk lost (default: 336h); 0s is never");
    std::map<std::string, encryption> const modes{
        {"prefer", encryption::prefer}, {"require", encryption::require}, {"off", encryption::off}};
    add(app, "--encryption", into.encryption, one_of(modes), "prefer|require|off",
        "Accepted; there is none yet, and require is refused");
    app.add_option("--state", into.state, "Journals, what is shared (default: $XDG_STATE_HOME/shoal/peer)")
        ->type_name("DIR");
    add_output(app, into.output);
}

command declare_create(CLI::App& program, create_options& into) {
    auto& app = *program.add_subcommand("create", "Make a torrent of a file or a folder");
    auto* path = app.add_option("PATH", into.source, "File or folder; links, devices and sockets are left out");
    auto* torrent = app.add_option("-o,--output", into.torrent, "Torrent file to write; replaces an older one");
    torrent->type_name("FILE.torrent");
    add_trackers(app, into.trackers, "Announce URL, a tier of its own");
    add_piece_length(app, into.piece_length);
    std::map<std::string, torrent_format> const formats{
        {"hybrid", torrent_format::hybrid}, {"v1", torrent_format::v1}, {"v2", torrent_format::v2}};
    add(app, "--format", into.format, one_of(formats), "hybrid|v1|v2", "BitTorrent versions (default: hybrid)");
    app.add_flag("--private", into.is_private, "Peers come from the trackers only");
    add_list(app, "--web-seed", into.web_seeds, "URL", "Where the content can be had by HTTP");
    app.add_option("--comment", into.comment, "Text for people")->type_name("TEXT");
    app.add_option("--name", into.name, "Name of the content (default: last element of PATH)")->type_name("TEXT");
    add_threads(app, into.threads);
    add_output(app, into.output);
    return {&app, {path, torrent}, &into.output, [&into] { return run_create(into); }, needs(into)};
}

command declare_show(CLI::App& program, show_options& into) {
    auto& app = *program.add_subcommand("show", "Print what a torrent file or a magnet link says");
    auto* target = app.add_option("TARGET", into.target, "Torrent file or magnet link");
    add_output(app, into.output);
    return {&app, {target}, &into.output, [&into] { return run_show(into); }, needs(into)};
}

command declare_verify(CLI::App& program, verify_options& into) {
    auto& app = *program.add_subcommand("verify", "Check content on disk; says which pieces are bad or missing");
    auto* torrent = app.add_option("TORRENT", into.torrent, "Torrent file");
    auto* directory = app.add_option("DIR", into.directory, "Folder that holds the torrent's content");
    add_threads(app, into.threads);
    add_output(app, into.output);
    return {&app, {torrent, directory}, &into.output, [&into] { return run_verify(into); }, needs(into)};
}

command declare_seed(CLI::App& program, seed_options& into) {
    auto& app = *program.add_subcommand("seed", "Serve content until a signal comes");
    auto* torrent = app.add_option("TORRENT", into.torrent, "Torrent file");
    auto* directory = app.add_option("DIR", into.directory, "Folder that holds the torrent's content");
    add_transfer(app, into.transfer);
    return {&app, {torrent, directory}, &into.transfer.output, [&into] { return run_seed(into); }, needs(into)};
}

command declare_get(CLI::App& program, get_options& into) {
    auto& app = *program.add_subcommand("get", "Fetch content");
    auto* targets = app.add_option("TARGET", into.targets,
                                   "Torrent files, their URLs, or names and info-hashes in the hub's catalogue");
    auto* directory = app.add_option("-o,--output", into.directory, "Folder for the content")->type_name("DIR");
    app.add_flag("--seed", into.seed, "Go on seeding when complete");
    auto const ratio = [](std::string const& text) -> std::optional<double> {
        char* end = nullptr;
        auto const value = std::strtod(text.c_str(), &end);
        if (text.empty() || *end != '\0' || !(value >= 0 && value < 1e9)) return std::nullopt;
        return value;
    };
    add(app, "--seed-ratio", into.seed_ratio, ratio, "N", "Seed until uploaded / size is N");
    add(app, "--seed-time", into.seed_time, options::parse_duration, "DURATION", "Seed for this long");
    add(app, "--timeout", into.timeout, options::parse_duration, "DURATION", "Give up with status 7");
    add_list(app, "--select", into.select, "PATTERN", "Take only files that match (*, ?)");
    app.add_flag("--sequential", into.sequential, "Take pieces in order");
    add_transfer(app, into.transfer);
    return {&app, {targets, directory}, &into.transfer.output, [&into] { return run_get(into); }, needs(into)};
}

command declare_find(CLI::App& program, find_options& into) {
    auto& app = *program.add_subcommand("find", "List what the hub's catalogue holds");
    app.add_option("PATTERN", into.pattern, "Words that begin so, in names and paths; or a name with * and ?");
    add_trackers(app, into.transfer.trackers, "The hub");
    auto* hub = app.get_option("--tracker");
    add_output(app, into.transfer.output);
    return {&app, {hub}, &into.transfer.output, [&into] { return run_find(into); }, needs(into)};
}

command declare_share(CLI::App& program, share_options& into) {
    auto& app = *program.add_subcommand("share", "Publish files and folders at the hub and seed them");
    auto* paths = app.add_option("PATH", into.paths, "Files and folders, a torrent each");
    app.add_flag("--each", into.each, "A torrent for each file of a folder");
    add_list(app, "--get", into.fetch, "TARGET", "Fetch this meanwhile, as get does, and serve it");
    app.add_option("-o,--output", into.directory, "Folder for what --get fetches")->type_name("DIR");
    add_piece_length(app, into.piece_length);
    add_threads(app, into.threads);
    add_transfer(app, into.transfer);
    auto* hub = app.get_option("--tracker")->description("The hub; further ones are announced to; repeatable");
    return {&app, {paths, hub}, &into.transfer.output, [&into] { return run_share(into); }, needs(into)};
}

command declare_bench(CLI::App& program, bench_options& into) {
    auto& app = *program.add_subcommand("bench", "Measure how fast this machine moves content, beside a raw copy");
    auto const size = [](std::string const& text) {
        auto const bytes = options::parse_size(text);
        return bytes && *bytes > 0 ? bytes : std::nullopt;
    };
    add(app, "--size", into.size, size, "SIZE", "Of the content (default: 256MiB)");
    add_piece_length(app, into.piece_length);
    add(app, "--runs", into.runs, number_within(1, 1000), "N",
        "How often each is done, besides a first time (default: 5)");
    app.add_option("-d,--directory", into.directory,
                   "Where the content lies meanwhile (default: where temporary files go)")
        ->type_name("DIR");
    add_output(app, into.output);
    return {&app, {}, &into.output, [&into] { return run_bench(into); }, {}};
}

command declare_console(CLI::App& program, console_options& into) {
    auto& app = *program.add_subcommand("console", "Drive a peer by hand, or by a script on standard input");
    auto* torrent = app.add_option("TORRENT", into.torrent, "Torrent file");
    auto* directory = app.add_option("-o,--output", into.directory, "Folder of the content")->type_name("DIR");
    add_transfer(app, into.transfer);
    return {&app, {torrent, directory}, &into.transfer.output, [&into] { return run_console(into); }, needs(into)};
}
}  // namespace

int run(int argc, char** argv) {
    options::raise_open_files();
    CLI::App program{"Makes, checks, serves and fetches BitTorrent content.", "peer"};
    program.set_version_flag("--version", "peer (shoal) " SHOAL_VERSION);
    program.require_subcommand(1);
    program.fallthrough();
    program.footer(
        "Options come from the command line, else from the environment (--some-name is SHOAL_SOME_NAME),\n"
        "else from the file of --config (some-name = VALUE).");

    create_options create;
    show_options show;
    verify_options verify;
    seed_options seed;
    get_options get;
    find_options find;
    share_options share;
    console_options console;
    bench_options bench;
    std::vector<command> commands{
        declare_create(program, create), declare_show(program, show),       declare_verify(program, verify),
        declare_seed(program, seed),     declare_get(program, get),         declare_find(program, find),
        declare_share(program, share),   declare_console(program, console), declare_bench(program, bench)};
    for (auto& each : commands)
        each.app->add_flag("--no-sandbox", each.is_free, "Do not give up access to other files and system calls");
    std::vector<CLI::App*> unbuilt;
    for (auto const* name : {"daemon"}) {
        auto* app = program.add_subcommand(name, "")->group("Not built yet")->allow_extras()->fallthrough(false);
        app->set_help_flag();
        unbuilt.push_back(app);
    }

    if (auto const status = options::read(program, argc, argv)) return *status;
    for (auto const* app : unbuilt)
        if (app->parsed()) return output{{}}.fail(exit_status::failed, app->get_name() + " is not built yet");
    for (auto* transfer : {&seed.transfer, &get.transfer, &share.transfer, &console.transfer})
        if (transfer->state.empty()) transfer->state = options::state_folder("peer");
    get.seed = get.seed || get.seed_ratio || get.seed_time;
    for (auto const& each : commands) {
        if (!each.app->parsed()) continue;
        for (auto const* option : each.required)
            if (option->empty())
                return output{{}}.fail(exit_status::wrong_usage, each.app->get_name() + ": " + option->get_name() +
                                                                     " is missing (see peer --help)");
        try {
            std::optional<confined> sandbox;
            if (each.on && !each.is_free) sandbox.emplace(each.on(), *each.output);
            auto const status = each.run();
            if (auto const lost = lost_output(); lost && status == static_cast<int>(exit_status::done))
                throw failure{exit_status::not_writable, "cannot write to standard output: " + lost.message()};
            return status;
        } catch (failure const& why) {
            return output{*each.output}.fail(why.status, why.message);
        } catch (std::exception const& why) {
            return output{*each.output}.fail(exit_status::failed, escaped(why.what()));
        }
    }
    return output{{}}.fail(exit_status::wrong_usage, "a command is missing (see peer --help)");
}
}  // namespace shoal::cli
