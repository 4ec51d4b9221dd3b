#include <catch2/catch.hpp>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <string>
#include <string_view>
#include <variant>

#include "swarm_run.hpp"

import shoal.announce;
import shoal.core;
import shoal.hub;
import shoal.net;

using namespace shoal;
using namespace std::chrono_literals;

// What fills.py compares. Not run by themselves.

TEST_CASE("what a tracker answers, sent", "[.traces]") {
    hub::service core{{}, {}};
    auto const now = time_point{} + 10h;
    std::string all;
    byte_vector packet;
    auto const ask = [&](endpoint const& from, auto const& request) {
        packet.clear();
        announce::encode(packet, request);
        byte_vector answer;
        core.answer(net::datagram{from, packet}, now, answer);
        all += as_text(answer);
        return announce::parse_udp_reply(answer,
                                         from.address.is_v4() ? announce::udp_family::v4 : announce::udp_family::v6);
    };
    for (std::uint16_t i = 1; i <= 300; ++i) {
        auto const number = std::to_string(i % 250 + 1);
        auto const from =
            *endpoint::parse(i % 3 == 0 ? "[2001:db8:" + number + "::1]:5000" : "192.0." + number + ".1:5000");
        auto const reply = ask(from, announce::udp_connect{i});
        auto const connection = std::get<announce::udp_connected>(reply.value()).connection;
        announce::udp_announce asked{connection, i, {}, {}};
        asked.request.torrent.bytes[0] = static_cast<std::byte>(i % 5);
        asked.request.port = i;
        asked.request.left = i % 2;
        if (i % 7 == 0) asked.request.what = announce::event::stopped;
        (void)ask(from, asked);
        (void)ask(from, announce::udp_scrape{connection, i, {asked.request.torrent, info_hash{}}, i % 11 == 0});
        for (auto const& target : {announce::announce_target("/announce", asked.request),
                                   std::string{"/announce?port=x"}, std::string{"/scrape"}, std::string{"/elsewhere"}})
            all += core.answer(net::http_request{"GET", target, {}, {}, from}, now).body;
    }
    std::printf("tracker: %zu bytes, %016zx\n", all.size(), std::hash<std::string>{}(all));
}

TEST_CASE("what each seed sends", "[.traces]") {
    constexpr std::uint64_t seeds = 30;
    for (std::uint64_t seed = 0; seed < seeds; ++seed) {
        auto const came = simulated_swarm::run(
            seed, {.faults = ~simulated_swarm::fault_set{}, .slow_peers = true, .corrupt_blocks = true});
        CHECK(came.wrong == "");
        std::printf("seed %u: %016llx\n", static_cast<unsigned>(seed), static_cast<unsigned long long>(came.trace));
    }
}
