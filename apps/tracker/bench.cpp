#include "bench.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <iostream>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "load.hpp"
#include "options/layers.hpp"
#include "statuses.hpp"

import shoal.options;

namespace bench {
namespace {
using namespace shoal;
constexpr measure::seconds patience{60};

/// Who answers: a tracker or the limit, and its process where it is ours.
struct tested {
    std::string name;
    endpoint at;
    std::optional<measure::child> process;
    std::uint64_t memory_before = 0;
};

[[noreturn]] void refuse(std::string const& why) {
    throw std::runtime_error(why);
}

int bound(int type, sockaddr_in& at) {
    auto const socket = ::socket(AF_INET, type | SOCK_CLOEXEC, 0);
    socklen_t size = sizeof at;
    auto* const address = reinterpret_cast<sockaddr*>(&at);
    if (socket < 0 || ::bind(socket, address, size) != 0 || ::getsockname(socket, address, &size) != 0)
        throw std::system_error(errno, std::system_category(), "bind");
    return socket;
}

tested limit(options const& how) {
    sockaddr_in at{};
    at.sin_family = AF_INET;
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    auto const tcp = bound(SOCK_STREAM, at), udp = bound(SOCK_DGRAM, at);
    if (::listen(tcp, 4096) != 0) throw std::system_error(errno, std::system_category(), "listen");
    auto child = measure::child::of([&] { return load::serve_blindly(udp, tcp, how.wanted); });
    ::close(tcp);
    ::close(udp);
    return {"limit", {ip_address::v4({127, 0, 0, 1}), ntohs(at.sin_port)}, std::move(child)};
}

tested own(std::filesystem::path const& data) {
    auto child = measure::child::of_self(
        {"--listen", "127.0.0.1:0", "--data", data.string(), "--connections-per-address", "1000"},
        measure::child::stream::complaints);
    constexpr std::string_view before = "listening on http://";
    while (auto const line = child.read_line(patience)) {
        auto const found = line->find(before);
        if (found == std::string::npos) continue;
        auto const rest = std::string_view{*line}.substr(found + before.size());
        auto const memory = child.anonymous_bytes();
        return {"tracker", shoal::options::parse_address(rest.substr(0, rest.find('/'))).value(), std::move(child),
                memory};
    }
    refuse("the tracker did not start");
}

/// What a URL says of a tracker that runs.
struct target {
    endpoint at;
    std::string path;
    std::vector<load::transport> by;
};
target read(std::string const& text) {
    auto const url = boost::urls::parse_uri(text);
    if (!url) throw std::invalid_argument("no URL: " + escaped(text));
    auto const scheme = url->scheme();
    if (scheme != "udp" && scheme != "http")
        throw std::invalid_argument("only udp and http URLs can be measured: " + escaped(text));
    auto const at = shoal::options::parse_address(std::string{url->encoded_host_and_port()});
    if (!at || at->port == 0)
        throw std::invalid_argument("the URL of a tracker to measure has an IP address and a port: " + escaped(text));
    std::string path{url->encoded_target()};
    using load::transport;
    if (scheme == "udp") return {*at, std::move(path), {transport::udp}};
    return {*at, std::move(path), {transport::http, transport::http_close}};
}

std::string_view name_of(load::transport by) {
    switch (by) {
        case load::transport::udp:
            return "UDP";
        case load::transport::http:
            return "HTTP, kept";
        case load::transport::http_close:
            break;
    }
    return "HTTP, closed";
}

class report {
public:
    report(bool is_json)
        : is_json_(is_json),
          rows_({"", "by", "announces/s", "of the limit", "p50 ms", "p99 ms", "CPU s/million", "peers", "lost",
                 "wrong"}) {}

    void add(tested const& who, load::transport by, load::figures const& came, measure::seconds cpu,
             std::optional<double> limit) {
        auto const answered = static_cast<double>(came.answered), rate = answered / came.took.count();
        auto const p50 = measure::percentile(came.waited, 0.5) * 1e3,
                   p99 = measure::percentile(came.waited, 0.99) * 1e3;
        auto const named = answered > 0 ? static_cast<double>(came.named) / answered : 0;
        auto const per_million = answered > 0 ? cpu.count() * 1e6 / answered : 0;
        if (is_json_) {
            boost::json::object fields{{"event", "result"},         {"what", who.name},
                                       {"by", name_of(by)},         {"announces_per_second", rate},
                                       {"p50_milliseconds", p50},   {"p99_milliseconds", p99},
                                       {"peers_per_answer", named}, {"answered", came.answered},
                                       {"lost", came.lost},         {"wrong", came.wrong}};
            if (who.process) fields["cpu_seconds_per_million"] = per_million;
            if (limit) fields["times_limit"] = rate / *limit;
            std::cout << boost::json::serialize(fields) << '\n';
            return;
        }
        using measure::number_text;
        rows_.add({who.name, std::string{name_of(by)}, number_text(rate, 0),
                   limit ? number_text(rate / *limit, 2) : "-", number_text(p50, 2), number_text(p99, 2),
                   who.process ? number_text(per_million, 2) : "-", number_text(named, 1), std::to_string(came.lost),
                   std::to_string(came.wrong)});
    }
    void add_memory(tested const& who, std::uint32_t peers) {
        auto const bytes = static_cast<double>(who.process->anonymous_bytes() - who.memory_before) / peers;
        if (is_json_)
            std::cout << boost::json::serialize(boost::json::object{
                             {"event", "memory"}, {"what", who.name}, {"peers", peers}, {"bytes_per_peer", bytes}})
                      << '\n';
        else
            memory_ =
                "memory: " + measure::number_text(bytes, 1) + " bytes for each of " + std::to_string(peers) + " peers";
    }
    void print() const {
        if (is_json_) return;
        for (auto const& line : rows_.lines()) std::cout << line << '\n';
        if (!memory_.empty()) std::cout << memory_ << '\n';
    }

private:
    bool is_json_;
    measure::table rows_;
    std::string memory_;
};

int measure_all(options const& how, bool is_json, bool is_quiet) {
    load::population const who{how.peers, how.torrents, how.wanted};
    measure::work_folder const work{{}};
    load::plan plan;
    plan.window = how.window;
    std::vector<tested> all;
    using load::transport;
    target where{{}, plan.path, {transport::udp, transport::http, transport::http_close}};
    if (!how.url.empty()) where = read(how.url);
    plan.path = where.path;
    auto const& kinds = where.by;
    all.push_back(limit(how));
    all.push_back(how.url.empty() ? own(work.path()) : tested{escaped(how.url), where.at, {}, 0});
    if (!is_quiet)
        std::cerr << how.peers << " peers of " << how.torrents << " torrents, " << how.wanted << " in an answer, "
                  << measure::number_text(how.seconds, 1) << " s each\n";

    auto& tracker = all.back();
    plan.by = kinds.front();
    plan.is_fill = true;
    auto const filled = load::run(tracker.at, who, plan);
    plan.is_fill = false;
    report out{is_json};
    if (filled.answered == 0) refuse("the tracker answers no announce");
    if (tracker.process) out.add_memory(tracker, how.peers);
    plan.lasts = measure::seconds{how.seconds};
    plan.rate = how.rate;
    std::uint64_t wrong = 0;
    for (auto const by : kinds) {
        std::optional<double> most;
        for (auto const& each : all) {
            plan.by = by;
            plan.is_blind = &each == &all.front();
            auto const before = each.process ? each.process->cpu() : measure::seconds{};
            auto const came = load::run(each.at, who, plan);
            auto const cpu = each.process ? each.process->cpu() - before : measure::seconds{};
            if (plan.is_blind) most = static_cast<double>(came.answered) / came.took.count();
            out.add(each, by, came, cpu, most);
            wrong += came.wrong;
        }
    }
    out.print();
    return wrong == 0 ? 0 : status::failed;
}

/// Whole numbers from 1.
auto up_to(std::uint32_t most) {
    return [most](std::string const& text) -> std::optional<std::uint32_t> {
        auto const value = shoal::options::parse_size(text);
        if (!value || *value == 0 || *value > most) return std::nullopt;
        return static_cast<std::uint32_t>(*value);
    };
}
}  // namespace

CLI::App* declare(CLI::App& program, options& into) {
    auto* const app = program.add_subcommand(
        "bench", "Measures how many announces a tracker answers, beside a program that does not look");
    app->add_option(
        "URL", into.url,
        "udp://IP:PORT or http://IP:PORT/announce of a tracker that runs; without it one is started for this");
    shoal::options::add(*app, "--peers", into.peers, up_to(10'000'000), "a number from 1",
                        "peers that announce; default 50000")
        ->type_name("N");
    shoal::options::add(*app, "--torrents", into.torrents, up_to(10'000'000), "a number from 1",
                        "torrents that they have; default 1000")
        ->type_name("N");
    shoal::options::add(*app, "--want", into.wanted, up_to(200), "a number from 1 to 200",
                        "peers in an answer; default 50")
        ->type_name("N");
    shoal::options::add(*app, "--window", into.window, up_to(10'000), "a number from 1 to 10000",
                        "requests that are open at once; default 128")
        ->type_name("N");
    auto const duration = [](std::string const& text) -> std::optional<double> {
        auto const length = shoal::options::parse_duration(text);
        if (!length || length->count() == 0) return std::nullopt;
        return measure::seconds{*length}.count();
    };
    shoal::options::add(*app, "--for", into.seconds, duration, "a duration", "of each measurement; default 5s")
        ->type_name("DURATION");
    auto const rate = [](std::string const& text) -> std::optional<double> {
        auto const value = shoal::options::parse_size(text);
        if (!value) return std::nullopt;
        return static_cast<double>(*value);
    };
    shoal::options::add(*app, "--rate", into.rate, rate, "a number",
                        "announces a second, at fixed times; default: as fast as answers come")
        ->type_name("N");
    return app;
}

int run(options const& how, bool is_json, bool is_quiet) {
    if (how.peers / how.torrents >= 65'535) {
        std::cerr << "tracker: more than 65534 peers in a torrent: fewer --peers or more --torrents\n";
        return status::wrong_usage;
    }
    try {
        return measure_all(how, is_json, is_quiet);
    } catch (std::invalid_argument const& why) {
        std::cerr << "tracker: bench: " << why.what() << '\n';
        return status::wrong_usage;
    } catch (std::exception const& why) {
        std::cerr << "tracker: bench: " << escaped(why.what()) << '\n';
        return status::failed;
    }
}
}  // namespace bench
