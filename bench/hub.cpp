#include <benchmark/benchmark.h>

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

import shoal.announce;
import shoal.core;
import shoal.hub;
import shoal.net;
import shoal.session;

using namespace shoal;
using namespace std::chrono_literals;

namespace {
info_hash torrent(std::uint32_t number) {
    info_hash name;
    store_be(mutable_byte_view{name.bytes}, (number + 1) * 2'654'435'761U);
    return name;
}
ip_address address(std::uint32_t number) {
    return ip_address::v4({10, static_cast<std::uint8_t>(number >> 16), static_cast<std::uint8_t>(number >> 8),
                           static_cast<std::uint8_t>(number)});
}

/// HTTP announces a second of 20 000 peers in 500 torrents, alone, with the roster beside it, and with pages that watch
/// (their events are made twice a second; sending them is not counted).
void announce_http(benchmark::State& state) {
    hub::service core{{.requests_per_second = 0},
                      {.tables = {1, 2}, .connections = {3, 4}, .meter = {5, 6}, .seed = 7}};
    hub::roster nodes{{}, 8};
    hub::monitor watch{nodes, "boot", 0, time_point{}};
    if (state.range(0) > 0)
        core.on_announce = [&](announce::announce_request const& request, endpoint const& at, time_point when) {
            nodes.announced(request, at, when);
        };
    for (int i = 1; i < state.range(0); ++i) watch.listen();
    std::vector<std::string> targets;
    for (std::uint32_t peer = 0; peer < 20'000; ++peer) {
        std::string hash;
        for (auto const each : torrent(peer % 500).bytes) {
            constexpr std::string_view digits = "0123456789abcdef";
            auto const byte = std::to_integer<unsigned>(each);
            hash.append("%").append(1, digits[byte >> 4]).append(1, digits[byte & 15]);
        }
        targets.push_back("/announce?info_hash=" + hash +
                          "&peer_id=-TR3000-abcdefghijkl&port=6881&uploaded=0&downloaded=0&left=" +
                          std::to_string(peer % 3) + "&compact=1&numwant=50");
    }
    time_point now{1h};
    std::uint32_t at = 0;
    auto const one = [&] {
        auto const peer = at++ % 20'000;
        net::http_request request{.method = "GET", .target = targets[peer], .remote = {address(peer), 40'000}};
        benchmark::DoNotOptimize(core.answer(request, now));
    };
    for (std::uint32_t i = 0; i < 20'000; ++i) one();
    for (auto _ : state) {
        one();
        if (at % 5000 != 0 || state.range(0) == 0) continue;  // half a second at 10 000 a second
        now += 500ms;
        nodes.tick(now);
        watch.update(nodes.take_touched(), nodes.take_happenings(), {}, now);
    }
    state.SetItemsProcessed(state.iterations());
}
BENCHMARK(announce_http)->ArgName("0_alone_1_roster_11_watched")->Arg(0)->Arg(1)->Arg(11);

/// 5 000 sessions in 500 torrents of 1 000 pieces, each telling of one piece a second: the hub's time for one status,
/// its share of the peer sets and of the event for one page included.
void status_of_sessions(benchmark::State& state) {
    constexpr std::uint32_t sessions = 5000, torrents = 500, pieces = 1000;
    hub::roster nodes{{.sessions_max = sessions}, 8};
    hub::monitor watch{nodes, "boot", 0, time_point{}};
    time_point now{1h};
    std::vector<hub::session_id> all;
    for (std::uint32_t i = 0; i < sessions; ++i) {
        auto const which = nodes.connected({address(i), 40'000}, now);
        session::hello hello;
        store_be(mutable_byte_view{hello.id.bytes}, i);
        hello.port = 6881;
        hello.client = "Shoal";
        if (!nodes.received(which, session::encode(session::peer_message{hello}), now) ||
            !nodes.received(which,
                            session::encode(session::peer_message{
                                session::join{torrent(i % torrents), pieces * 16'384ull, bitfield{pieces}, 0, 0}}),
                            now))
            return state.SkipWithError("refused");
        (void)nodes.take_output(which);
        all.push_back(which);
    }
    watch.listen();
    std::uint64_t told = 0, bytes = 0;
    for (auto _ : state) {
        auto const which = told % sessions;
        auto const piece = static_cast<std::uint32_t>(told / sessions) % pieces;
        session::status said;
        said.torrent = torrent(static_cast<std::uint32_t>(which % torrents));
        said.gained = {piece_index{piece}};
        said.number = said.downloaded = told;
        if (!nodes.received(all[which], session::encode(session::peer_message{said}), now))
            return state.SkipWithError("refused");
        if (++told % (sessions / 2) != 0) continue;
        now += 500ms;
        nodes.tick(now);
        watch.update(nodes.take_touched(), nodes.take_happenings(), {}, now);
        for (auto const ready : nodes.take_ready())
            for (auto const& each : nodes.take_output(ready)) bytes += each->size();
    }
    state.SetItemsProcessed(state.iterations());
    state.counters["sent_bytes_per_status"] = told == 0 ? 0 : static_cast<double>(bytes) / static_cast<double>(told);
}
BENCHMARK(status_of_sessions);
}  // namespace
