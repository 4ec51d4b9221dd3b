/// What do thousands of sessions cost a hub, each of which reports a piece every second? The hub's CPU (seconds per
/// second), memory of its own for each session, and how long after a session's report a page hears of it: half of the
/// half second between two events, and what the work takes.
///
/// A short run with few sessions by default; `SHOAL_BENCH_FULL=1` takes 5 000 sessions on 500 torrents for 30 s.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <atomic>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <charconv>
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "hub_process.hpp"

import shoal.session;

using namespace shoal;
using namespace std::chrono_literals;

namespace {
using wall_clock = std::chrono::steady_clock;
namespace json = boost::json;

constexpr std::uint32_t pieces = 4000;      // 2 GiB in pieces of 512 KiB
constexpr std::uint16_t first_port = 1000;  // the number of a session is told by the port that it says it listens at

/// When each session told of its latest pieces, by number; written by the sessions' thread, read by the watcher's.
struct reports {
    explicit reports(std::size_t sessions) : at(sessions * kept) {}
    static constexpr std::size_t kept = 64;
    std::vector<std::atomic<wall_clock::rep>> at;
    std::atomic<wall_clock::rep>& of(std::size_t session, std::uint64_t piece) {
        return at[session * kept + piece % kept];
    }
};

/// Takes the stream of events apart and notes how late each piece is heard of.
class watcher {
public:
    explicit watcher(reports& told, std::size_t sessions) : told_(told), heard_(sessions, 0) {}

    void take(std::string_view text) {
        bytes += text.size();
        buffer_ += text;
        for (;;) {
            auto const end = buffer_.find("\n\n");
            if (end == std::string::npos) return;
            auto const data = buffer_.find("data: ");
            // HTTP's chunks begin with an event each, so that no line of theirs is within the data of one.
            if (data < end) look_at(std::string_view{buffer_}.substr(data + 6, end - data - 6));
            buffer_.erase(0, end + 2);
        }
    }
    std::vector<double> late;  ///< Seconds.
    std::size_t bytes = 0;

private:
    void look_at(std::string_view event) {
        auto const now = wall_clock::now();
        std::error_code broken;
        auto const whole = json::parse(json::string_view{event.data(), event.size()}, broken);
        if (broken) std::abort();  // the measurement would be of something else
        auto const* const set = whole.as_object().if_contains("set");
        auto const* const peers = set ? set->as_object().if_contains("peers") : nullptr;
        if (!peers) return;
        for (auto const& [key, each] : peers->as_object()) {
            auto const& address = each.at("address").as_string();
            std::string_view const text{address.data(), address.size()};
            std::uint16_t port = 0;
            std::from_chars(text.data() + text.rfind(':') + 1, text.data() + text.size(), port);
            auto const session = static_cast<std::size_t>(port - first_port);
            auto const have = each.at("have").to_number<std::uint64_t>();
            if (session >= heard_.size() || have == 0 || have == heard_[session]) continue;
            heard_[session] = have;
            auto const told = wall_clock::time_point{wall_clock::duration{told_.of(session, have - 1).load()}};
            late.push_back(std::chrono::duration<double>(now - told).count());
        }
    }
    reports& told_;
    std::string buffer_;
    std::vector<std::uint64_t> heard_;
};

info_hash torrent(std::size_t number) {
    info_hash name;
    store_be(mutable_byte_view{name.bytes}, static_cast<std::uint64_t>(number + 1));
    return name;
}

/// What all sessions share.
struct sharers {
    net::environment& outside;
    endpoint hub;
    std::size_t sessions, torrents;
    reports& told;
    std::size_t joined = 0;
    bool reports_now = false;
    bool is_over = false;
};

net::task<void> read_all(net::web_socket& from) {
    while (true) {
        auto const message = co_await from.receive();
        if (!message || !message.value()) co_return;
    }
}

net::task<void> report(sharers& all, net::web_socket& to, std::size_t number) {
    session::hello hello;
    hello.id.bytes[0] = std::byte{1};
    store_be(mutable_byte_view{hello.id.bytes}.subspan(1), static_cast<std::uint64_t>(number));
    hello.port = static_cast<std::uint16_t>(first_port + number);
    hello.client = "bench";
    (void)co_await to.send(session::encode(session::peer_message{hello}));
    session::join join;
    join.torrent = torrent(number % all.torrents);
    join.size = std::uint64_t{pieces} << 19;
    join.have = bitfield{pieces};
    (void)co_await to.send(session::encode(session::peer_message{join}));
    ++all.joined;
    while (!all.reports_now && !all.is_over) co_await all.outside.clock.sleep(50ms);
    // Spread over the second, as those of strangers are.
    co_await all.outside.clock.sleep(std::chrono::microseconds{1'000'000 * number / all.sessions});
    for (std::uint32_t piece = 0; piece < pieces && !all.is_over; ++piece) {
        session::status status;
        status.torrent = join.torrent;
        status.number = piece + 1;
        status.gained = {piece_index{piece}};
        status.downloaded = std::uint64_t{piece + 1} << 19;
        status.down_rate = 1u << 19;
        all.told.of(number, piece) = wall_clock::now().time_since_epoch().count();
        if (!co_await to.send(session::encode(session::peer_message{status}))) co_return;
        co_await all.outside.clock.sleep(1s);
    }
}

net::task<void> hold(sharers& all, std::size_t number) {
    using namespace asio::experimental::awaitable_operators;
    auto opened = co_await net::web_socket_connect(all.outside, "ws://" + all.hub.to_string() + "/session");
    if (!opened) std::abort();
    auto& socket = *opened.value();
    co_await (read_all(socket) || report(all, socket, number));
}

double at_share(std::vector<double>& sorted, double share) {
    if (sorted.empty()) return 0;
    return sorted[static_cast<std::size_t>(share * static_cast<double>(sorted.size() - 1))] * 1e3;
}

void hub_sessions(benchmark::State& state) {
    auto const sessions = static_cast<std::size_t>(state.range(0));
    bench::hub_process const hub{sessions};
    reports told{sessions};
    watcher page{told, sessions};
    std::chrono::duration<double> cpu{}, measured{};
    std::size_t memory = 0;
    for (auto _ : state) {
        asio::io_context there, here;
        net::system_environment watching{there.get_executor(), 1}, reporting{here.get_executor(), 1};
        net::task_group watchers{there.get_executor()};
        sharers all{reporting.get(), hub.at(), sessions, static_cast<std::size_t>(state.range(1)), told};
        auto const drive = [&]() -> net::task<void> {
            auto& clock = all.outside.clock;
            co_await clock.sleep(200ms);
            auto const empty = hub.anonymous_bytes();
            net::task_group group{here.get_executor()};
            for (std::size_t i = 0; i < sessions; ++i) {
                group.spawn("session", hold(all, i));
                if (i % 50 == 49) co_await clock.sleep(20ms);
            }
            while (all.joined < sessions) co_await clock.sleep(20ms);
            co_await clock.sleep(2s);
            watchers.spawn("watch", bench::watch(watching.get(), hub.at(), [&](auto text) { page.take(text); }));
            std::thread thread{[&] { there.run(); }};
            all.reports_now = true;
            co_await clock.sleep(3s);  // until all of them report
            auto const cpu_before = hub.cpu();
            auto const began = wall_clock::now();
            co_await clock.sleep(std::chrono::seconds{state.range(2)});
            cpu = hub.cpu() - cpu_before;
            measured = wall_clock::now() - began;
            memory = hub.anonymous_bytes() - empty;
            all.is_over = true;
            asio::post(there, [&] { watchers.cancel(); });
            thread.join();
            group.cancel();
            co_await group.join();
        };
        asio::co_spawn(here, drive(), [](std::exception_ptr const& why) {
            if (why) std::abort();
        });
        here.run();
    }
    std::ranges::sort(page.late);
    state.counters["cpu_s_per_s"] = cpu / measured;
    state.counters["KiB_per_session"] = static_cast<double>(memory) / 1024 / static_cast<double>(sessions);
    state.counters["delay_p50_ms"] = at_share(page.late, 0.5);
    state.counters["delay_p99_ms"] = at_share(page.late, 0.99);
    state.counters["heard"] = static_cast<double>(page.late.size());
    state.counters["page_MB_per_s"] = static_cast<double>(page.bytes) / 1e6 / measured.count();
}

void sizes(benchmark::internal::Benchmark* of) {
    of->ArgNames({"sessions", "torrents", "seconds"});
    if (std::getenv("SHOAL_BENCH_FULL"))
        of->Args({5000, 500, 30});
    else
        of->Args({100, 10, 2});
}
}  // namespace
BENCHMARK(hub_sessions)->Apply(sizes)->Iterations(1)->UseRealTime()->Unit(benchmark::kSecond);
