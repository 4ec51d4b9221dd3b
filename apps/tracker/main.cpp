// The tracker program: options, log, signals. What it does is in shoal.hub.
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <coroutine>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <iostream>
#include <limits>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

#include "bench.hpp"
#include "doctor.hpp"
#include "log.hpp"
#include "options/layers.hpp"
#include "passkeys.hpp"
#include "statuses.hpp"

import shoal.asio;
import shoal.core;
import shoal.hub;
import shoal.net;
import shoal.options;
import shoal.sandbox;

namespace {
using namespace shoal;
using namespace std::chrono_literals;

struct command_line {
    std::vector<endpoint> listen;
    std::string data;
    std::optional<std::chrono::seconds> min_interval;
    log::level least = log::level::info;
    log::format shape = log::format::text;
    bool is_quiet = false;
    bool is_free = false;              ///< Not confined.
    std::vector<std::string> passkey;  ///< The words behind `tracker passkey`; empty: the hub is to run.
    bool is_doctor = false;            ///< `tracker doctor`
    bool is_bench = false;             ///< `tracker bench`
    bool is_json = false;              ///< Of `tracker doctor` and `tracker bench`.
    bench::options bench;
    hub::settings how;
};

std::optional<std::chrono::seconds> parse_interval(std::string_view text) {
    auto const length = options::parse_duration(text);
    if (!length || *length < 1s || *length > 24h) return std::nullopt;
    return std::chrono::floor<std::chrono::seconds>(*length);
}

/// Nothing when the program is to go on, else the exit status.
std::optional<int> read_options(int argc, char** argv, command_line& out) {
    CLI::App app{
        "The hub of a team: introduces BitTorrent peers to each other, keeps a catalogue, shows every transfer.",
        "tracker"};
    app.set_version_flag("--version", "tracker " SHOAL_VERSION);
    options::add(app, "--listen", out.listen, options::parse_address, "an address IP:PORT or [IPv6]:PORT",
                 "where to serve HTTP and UDP; repeatable; default 0.0.0.0:6969 [::]:6969")
        ->type_name("ADDR:PORT");
    app.add_option("--data", out.data, "folder of the catalogue and all state; default $XDG_STATE_HOME/shoal/tracker")
        ->type_name("DIR");
    std::map<std::string, hub::access> const kinds{
        {"open", hub::access::open}, {"counts", hub::access::counts}, {"members", hub::access::members}};
    app.add_option("--access", out.how.who,
                   "who needs no passkey: open (nobody needs one), counts (who announces, or looks at counts), members "
                   "(all need one); default open")
        ->transform(CLI::CheckedTransformer(kinds))
        ->type_name("WHO")
        ->option_text("WHO");
    auto* const passkey = app.add_subcommand("passkey", "The members of a hub: add NAME, remove NAME, list");
    passkey->add_option("WORDS", out.passkey, "add NAME (prints the new passkey), remove NAME, or list")->required();
    passkey->fallthrough();
    auto* const doctor = app.add_subcommand("doctor", "Checks this machine for a hub, and says what to change");
    doctor->add_flag("--json", out.is_json, "one object a line: check, state (ok, warn, bad), found, advice");
    doctor->fallthrough();
    auto* const measuring = bench::declare(app, out.bench);
    measuring->add_flag("--json", out.is_json, "one object a line");
    app.require_subcommand(0, 1);
    app.add_option("--host-name", out.how.host_names,
                   "a name by which browsers may call this machine, besides its addresses and localhost; repeatable")
        ->type_name("NAME");
    options::add(app, "--interval", out.how.interval, parse_interval, "a duration from 1s to 24h",
                 "when peers are to announce again; default 30m")
        ->type_name("DURATION");
    options::add(app, "--min-interval", out.min_interval, parse_interval, "a duration from 1s to 24h",
                 "and not sooner than this; default 5m")
        ->type_name("DURATION");
    app.add_option("--peers-max", out.how.peers_max, "peers in one answer at most; default 200")
        ->check(CLI::Range(1, 1000))
        ->type_name("N");
    options::add(app, "--memory-limit", out.how.bounds.memory_max, options::parse_size, "a size like 256MiB",
                 "memory of the peer sets at most; default 256MiB")
        ->type_name("SIZE");
    app.add_option("--torrents-max", out.how.bounds.torrents_max, "torrents at most; default 1000000")->type_name("N");
    app.add_option("--nodes-max", out.how.nodes.sessions_max,
                   "nodes with a session at once; further ones wait in line; default 1000")
        ->check(CLI::Range(1, 100'000))
        ->type_name("N");
    app.add_option("--connections-max", out.how.http.connections,
                   "TCP connections at once, and as many more as --nodes-max takes; default 4000")
        ->check(CLI::Range(1, 1'000'000))
        ->type_name("N");
    app.add_option("--connections-per-address", out.how.http.connections_per_address,
                   "of one address at once; default 200")
        ->check(CLI::Range(1, 1'000'000))
        ->type_name("N");
    app.add_option("--announce-peers-max", out.how.bounds.peers_max,
                   "announcing peers of all torrents; default 8000000")
        ->type_name("N");
    app.add_option("--requests-per-second", out.how.requests_per_second,
                   "of one address, loopback excepted; 0 for no limit; default 50")
        ->check(CLI::Range(0, 100'000))
        ->type_name("N");
    app.add_option("--udp-threads", out.how.udp_threads,
                   "threads at each address that receive and send UDP; 0: none, all is done by one; default 0")
        ->check(CLI::Range(0, 64))
        ->type_name("N");
    std::map<std::string, log::level> const levels{{"debug", log::level::debug},
                                                   {"info", log::level::info},
                                                   {"warning", log::level::warning},
                                                   {"error", log::level::error},
                                                   {"off", log::level::off}};
    app.add_option("--log-level", out.least, "debug (each announce), info, warning, error, off")
        ->transform(CLI::CheckedTransformer(levels))
        ->type_name("LEVEL")
        ->option_text("LEVEL");
    std::map<std::string, log::format> const formats{{"text", log::format::text}, {"json", log::format::json}};
    app.add_option("--log-format", out.shape, "text or json")
        ->transform(CLI::CheckedTransformer(formats))
        ->option_text("FORMAT");
    app.add_flag("--quiet", out.is_quiet, "no log at all");
    app.add_flag("--no-sandbox", out.is_free, "do not give up access to other files and system calls");
    if (auto const status = options::read(app, argc, argv)) return status;
    out.is_doctor = doctor->parsed();
    out.is_bench = measuring->parsed();

    if (out.is_quiet) out.least = log::level::off;
    out.how.min_interval = out.min_interval.value_or(std::min(out.how.min_interval, out.how.interval));
    if (out.how.min_interval > out.how.interval) {
        std::cerr << "tracker: --min-interval is longer than --interval\n";
        return status::wrong_usage;
    }
    out.how.peers_default = std::min(out.how.peers_default, out.how.peers_max);
    out.how.is_each_announce_logged = out.least == log::level::debug;
    out.how.log = [](hub::log_level severity, std::string_view line) {
        auto const to = severity == hub::log_level::debug  ? log::level::debug
                        : severity == hub::log_level::info ? log::level::info
                                                           : log::level::warning;
        log::write(to, "log", line);
    };
    return std::nullopt;
}

/// The addresses to listen at.
std::vector<endpoint> wanted(command_line const& how) {
    if (!how.listen.empty()) return how.listen;
    return {*endpoint::parse("0.0.0.0:6969"), *endpoint::parse("[::]:6969")};
}

/// Opens every address. Of the default addresses one that this machine does not have is passed over.
std::optional<int> open(hub::hub& tracker, command_line const& how) {
    auto const is_default = how.listen.empty();
    for (auto const& at : wanted(how)) {
        auto const bound = tracker.listen(at);
        if (bound) continue;
        auto const why = bound.error();
        auto const is_missing =
            why == std::errc::address_family_not_supported || why == std::errc::address_not_available;
        if (is_default && !at.address.is_v4() && is_missing) {
            log::write(log::level::warning, "log", "no IPv6 on this machine");
            continue;
        }
        std::cerr << "tracker: cannot listen on " << at.to_string() << ": " << why.message() << '\n';
        return status::failed;
    }
    return std::nullopt;
}

std::string own_name() {
    std::array<char, 256> name{};
    return gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "";
}

std::string addresses(hub::hub const& tracker) {
    std::string line = "listening on";
    for (auto const& at : tracker.bound())
        line.append(" http://").append(at.to_string()).append("/announce udp://").append(at.to_string());
    return line;
}

/// What a person can open and hand on, where it listens on any address.
std::string advice(hub::hub const& tracker) {
    auto const& at = tracker.bound().front();
    auto const name = at.address.is_unspecified() ? own_name()
                      : at.address.is_v4()        ? at.address.to_string()
                                                  : "[" + at.address.to_string() + "]";
    auto const root = "http://" + name + ":" + std::to_string(at.port) + "/";
    return root + " " + root + "announce";
}

std::string summary(hub::counters const& numbers) {
    return "stopped after " + std::to_string(numbers.http_announces) + " HTTP and " +
           std::to_string(numbers.udp_announces) + " UDP announces; " + std::to_string(numbers.peers.torrents) +
           " torrents, " + std::to_string(numbers.peers.peers_v4 + numbers.peers.peers_v6) + " peers known";
}

/// Serves until SIGTERM or SIGINT; a second signal ends the process at once.
net::task<int> serve(hub::hub& tracker) {
    auto const executor = co_await asio::this_coro::executor;
    asio::signal_set signals{executor, SIGTERM, SIGINT};
    net::task_group tasks{executor};
    if (auto const opened = co_await tracker.open(); !opened) {
        std::cerr << "tracker: " << opened.error().message() << '\n';
        auto const why = opened.error();
        co_return why == hub::errc::no_space || why == hub::errc::read_only ? status::not_writable : status::failed;
    }
    std::error_code ended;
    auto const run = [&]() -> net::task<void> {
        ended = co_await tracker.run();
        signals.cancel();
    };
    tasks.spawn("hub", run());
    log::write(log::level::info, "listening", addresses(tracker));
    log::write(log::level::info, "log", "the page and what to give to --tracker: " + advice(tracker));
    auto const [interrupted, number] = co_await signals.async_wait(asio::as_tuple(asio::use_awaitable));
    signals.clear();
    tasks.cancel();
    co_await tasks.join();
    co_await tracker.save();
    if (interrupted) {
        std::cerr << "tracker: " << ended.message() << '\n';
        co_return status::failed;
    }
    log::write(log::level::info, "stopped", summary(tracker.numbers()));
    co_return 0;
}

int examine(command_line const& how, std::filesystem::path const& data) {
    doctor::plan plan{
        data, {}, how.listen.empty(), how.how.http.connections, how.how.nodes.sessions_max, how.how.bounds.memory_max};
    plan.is_confined = !how.is_free;
    for (auto const& at : wanted(how)) plan.listen.push_back(at.to_string());
    return doctor::run(plan, how.is_json ? doctor::format::json : doctor::format::text, how.is_quiet);
}

/// Gives up all files but those in the folder of the state, for good.
void confine(std::filesystem::path const& data) {
    ::setenv("SQLITE_TMPDIR", data.c_str(), 0);  // of the folders that it tries it could write in none
    auto const held = sandbox::confine({.writable = {data}});
    if (!held.missing.empty()) log::write(log::level::info, "sandbox", held.missing);
    log::write(log::level::debug, "sandbox",
               "confined to " + escaped(data.string()) + " (Landlock version " + std::to_string(held.landlock) +
                   (held.seccomp ? ", seccomp)" : ", no seccomp)"));
}

int run(command_line how) {
    std::filesystem::path const data{how.data.empty() ? options::state_folder("tracker")
                                                      : std::filesystem::path{how.data}};
    if (how.is_doctor) return examine(how, data);
    if (how.is_bench) return bench::run(how.bench, how.is_json, how.is_quiet);
    options::raise_open_files();
    std::error_code why;
    auto const umask_before = ::umask(0077);  // who shares what is for the tracker's user alone
    std::filesystem::create_directories(data, why);
    ::umask(umask_before);
    if (!why && access(data.c_str(), W_OK | X_OK) != 0) why = {errno, std::system_category()};
    if (why) {
        std::cerr << "tracker: cannot use " << escaped(data.string()) << ": " << why.message() << '\n';
        return status::not_writable;
    }
    if (!how.is_free) confine(data);
    if (!how.passkey.empty()) return passkeys::run(data, how.passkey);
    how.how.members = passkeys::file_in(data);
    if (auto const known = hub::load_members(how.how.members); !known) {
        std::cerr << "tracker: " << escaped(how.how.members.string()) << ": " << known.error().message() << '\n';
        return status::failed;
    } else if (how.how.who != hub::access::open && known.value().empty()) {
        log::write(log::level::warning, "log", "nobody is a member yet: tracker passkey add NAME");
    }
    how.how.catalogue = data / "catalogue.sqlite";
    how.how.host_names.push_back(own_name());
    how.how.version = SHOAL_VERSION;
    how.how.started_at =
        std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::system_clock::now().time_since_epoch())
            .count();
    asio::io_context io{1};
    net::system_environment outside{io.get_executor(), 1};
    hub::hub tracker{outside.get(), how.how};
    if (auto const status = open(tracker, how)) return *status;
    int status = status::failed;
    std::exception_ptr thrown;
    asio::co_spawn(io, serve(tracker), [&](std::exception_ptr why, int result) {
        thrown = std::move(why);
        status = result;
    });
    io.run();
    if (thrown) std::rethrow_exception(thrown);
    return status;
}
}  // namespace

int main(int argc, char** argv) try {
    std::signal(SIGPIPE, SIG_IGN);
    command_line how;
    if (auto const status = read_options(argc, argv, how)) return *status;
    log::start(how.least, how.shape);
    auto const status = run(how);
    log::stop();
    return status;
} catch (std::exception const& why) {
    std::cerr << "tracker: " << shoal::escaped(why.what()) << '\n';
    return status::failed;
}
