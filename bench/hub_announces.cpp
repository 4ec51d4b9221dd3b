/// Do pages that watch slow the announces? Announces a second over 64 kept HTTP connections, and by UDP, of 20 000
/// peers in 500 torrents, with and without 10 watchers. Compare the rows of one run:
///
///     bench_hub_announces --benchmark_repetitions=5 --benchmark_enable_random_interleaving=true
#include <benchmark/benchmark.h>

#include <atomic>
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <variant>
#include <vector>

#include "hub_process.hpp"

import shoal.announce;

using namespace shoal;

namespace {
constexpr std::uint32_t peers = 20'000, torrents = 500;
constexpr std::size_t connections = 64;

announce::announce_request request_of(std::uint32_t peer) {
    announce::announce_request request;
    store_be(mutable_byte_view{request.torrent.bytes}, std::uint32_t{peer % torrents + 1});
    store_be(mutable_byte_view{request.peer.bytes}, peer);
    request.port = static_cast<std::uint16_t>(1 + peer);
    request.left = peer % 3;
    request.peers_wanted = 50;
    return request;
}

/// Peers in an order that has no relation to their torrents.
struct order {
    std::uint32_t at = 0;
    std::uint32_t next() { return at = (at + 7919) % peers; }
};

/// Ten pages, or none, on a thread of their own. They are there when it is made: what a page costs that comes is
/// another question.
class watchers {
public:
    watchers(endpoint hub, std::int64_t count)
        : outside_(context_.get_executor(), 1), group_(context_.get_executor()), silent_(count) {
        auto const heard = [this, is_first = true](std::string_view) mutable {
            if (std::exchange(is_first, false)) --silent_;
        };
        for (std::int64_t i = 0; i < count; ++i) group_.spawn("watch", bench::watch(outside_.get(), hub, heard));
        if (count > 0) thread_ = std::thread{[this] { context_.run(); }};
        while (silent_ > 0) std::this_thread::sleep_for(std::chrono::milliseconds{10});
    }
    ~watchers() {
        if (!thread_.joinable()) return;
        asio::post(context_, [this] { group_.cancel(); });
        thread_.join();
    }

private:
    asio::io_context context_;
    net::system_environment outside_;
    net::task_group group_;
    std::atomic<std::int64_t> silent_;
    std::thread thread_;
};

void run(asio::io_context& here, net::task<void> work) {
    asio::co_spawn(here, std::move(work), [](std::exception_ptr const& why) {
        if (why) std::abort();
    });
    here.run();
}

void by_http(benchmark::State& state) {
    bench::hub_process const hub{100};
    watchers const pages{hub.at(), state.range(0)};
    asio::io_context here;
    net::system_environment outside{here.get_executor(), 1};
    order of;
    constexpr std::size_t each = 50;
    auto const ask = [&](net::stream& to) -> net::task<void> {
        byte_vector place(8192);
        for (std::size_t i = 0; i < each; ++i) {
            auto const text = "GET " + announce::announce_target("/announce", request_of(of.next())) +
                              " HTTP/1.1\r\nHost: hub\r\n\r\n";
            (void)co_await to.write_all(as_bytes(text));
            auto const got = co_await to.read_some(mutable_byte_view{place});  // a reply is one segment
            if (!got || as_text(byte_view{place}.first(12)) != "HTTP/1.1 200") std::abort();
        }
    };
    auto const drive = [&]() -> net::task<void> {
        std::vector<std::unique_ptr<net::stream>> streams;
        for (std::size_t i = 0; i < connections; ++i)
            streams.push_back((co_await outside.get().network.connect(hub.at(), std::nullopt)).value());
        net::task_group group{here.get_executor()};
        for (auto _ : state) {
            for (auto const& stream : streams) group.spawn("ask", ask(*stream));
            co_await group.join();
        }
    };
    auto const before = hub.cpu();
    run(here, drive());
    auto const asked = state.iterations() * static_cast<std::int64_t>(connections * each);
    state.SetItemsProcessed(asked);
    state.counters["hub_cpu_us_per_announce"] = (hub.cpu() - before).count() * 1e6 / static_cast<double>(asked);
}

void by_udp(benchmark::State& state) {
    bench::hub_process const hub{100};
    watchers const pages{hub.at(), state.range(0)};
    asio::io_context here;
    net::system_environment outside{here.get_executor(), 1};
    order of;
    constexpr std::size_t window = 64;
    constexpr int rounds = 50;
    auto const drive = [&]() -> net::task<void> {
        auto const socket = outside.get().network.open_datagram({hub.at().address, 0}).value();
        std::vector<net::datagram> in(window), out(window);
        std::vector<byte_vector> packets(window);
        announce::encode(packets[0], announce::udp_connect{1});
        out[0] = {hub.at(), packets[0]};
        (void)socket->send({out.data(), 1});
        if (!co_await socket->receive(in)) std::abort();
        auto const connected = announce::parse_udp_reply(in[0].bytes, announce::udp_family::v4);
        auto const connection = std::get<announce::udp_connected>(connected.value()).connection;
        for (auto _ : state) {
            for (int round = 0; round < rounds; ++round) {
                for (std::size_t i = 0; i < window; ++i) {
                    packets[i].clear();
                    announce::encode(packets[i], announce::udp_announce{connection, 2, request_of(of.next()), {}});
                    out[i] = {hub.at(), packets[i]};
                }
                // Loopback loses none of so few.
                if (!socket->send(out)) std::abort();
                for (std::size_t heard = 0; heard < window;) {
                    auto const count = co_await socket->receive(in);
                    if (!count) std::abort();
                    heard += count.value();
                }
            }
        }
    };
    auto const before = hub.cpu();
    run(here, drive());
    auto const asked = state.iterations() * static_cast<std::int64_t>(window) * rounds;
    state.SetItemsProcessed(asked);
    state.counters["hub_cpu_us_per_announce"] = (hub.cpu() - before).count() * 1e6 / static_cast<double>(asked);
}
}  // namespace
BENCHMARK(by_http)->ArgName("watchers")->Arg(0)->Arg(10)->UseRealTime();
BENCHMARK(by_udp)->ArgName("watchers")->Arg(0)->Arg(10)->UseRealTime();
