#include <catch2/catch.hpp>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

import shoal.announce;
import shoal.core;
import shoal.hub;
import shoal.net;

using namespace shoal;
using namespace shoal::announce;
using namespace std::chrono_literals;

namespace {
endpoint const client = *endpoint::parse("192.0.2.1:5000");

struct tracker {
    hub::service core{{}, {}};
    time_point now = time_point{} + 10h;

    byte_vector answer(byte_view packet, endpoint from = client) {
        byte_vector out;
        core.answer(net::datagram{from, packet}, now, out);
        return out;
    }
    template <class Request>
    byte_vector ask(Request const& request, endpoint from = client) {
        byte_vector packet;
        encode(packet, request);
        return answer(packet, from);
    }
    std::uint64_t connect(endpoint from = client) {
        auto const reply = parse_udp_reply(ask(udp_connect{7}, from), udp_family::v4);
        return std::get<udp_connected>(reply.value()).connection;
    }
    udp_announce announce_of(std::uint16_t port, endpoint from = client) {
        udp_announce announce{connect(from), 8, {}, {}};
        announce.request.port = port;
        announce.request.left = 1;
        return announce;
    }
};
}  // namespace

TEST_CASE("peers that announce by UDP are introduced to each other and to those of HTTP", "[hub]") {
    tracker at;
    auto const other = *endpoint::parse("192.0.2.2:5000");
    at.ask(at.announce_of(1));
    announce_request by_http;
    by_http.port = 2;
    auto const target = announce_target("/announce", by_http);
    at.core.answer(net::http_request{"GET", target, {}, {}, *endpoint::parse("192.0.2.9:1")}, at.now);
    auto const reply = parse_udp_reply(at.ask(at.announce_of(3, other), other), udp_family::v4);
    auto const& announced = std::get<udp_announced>(reply.value());
    CHECK(announced.transaction == 8);
    CHECK(announced.reply.peers.size() == 2);
    CHECK(announced.reply.leechers == 3U);
    CHECK(announced.reply.interval == 1800s);
    CHECK(at.core.numbers().udp_announces == 2);
}

TEST_CASE("an announce over IPv6 is given peers of IPv6", "[hub]") {
    tracker at;
    auto const one = *endpoint::parse("[2001:db8::1]:5000");
    auto const other = *endpoint::parse("[2001:db8:1::1]:5000");
    at.ask(at.announce_of(1));
    at.ask(at.announce_of(2, one), one);
    auto const reply = parse_udp_reply(at.ask(at.announce_of(3, other), other), udp_family::v6);
    CHECK(std::get<udp_announced>(reply.value()).reply.peers == std::vector{*endpoint::parse("[2001:db8::1]:2")});
}

TEST_CASE("a request without a connection id that holds is met with silence", "[hub]") {
    tracker at;
    auto announce = at.announce_of(1);
    auto const good = announce.connection;
    for (int bit = 0; bit < 64; ++bit) {
        announce.connection = good ^ std::uint64_t{1} << bit;
        CHECK(at.ask(announce).empty());
    }
    announce.connection = udp_protocol_id;
    CHECK(at.ask(announce).empty());
    announce.connection = good;
    CHECK(at.ask(announce, {client.address, 5001}).empty());
    CHECK(at.ask(announce, *endpoint::parse("192.0.2.2:5000")).empty());
    CHECK(at.ask(udp_scrape{good ^ 1, 9, {info_hash{}}, false}).empty());
    at.now += 121s;
    CHECK(at.ask(announce).empty());
    at.now -= 122s;
    CHECK(at.ask(announce).empty());
    CHECK(at.core.numbers().unproven == 64 + 3 + 1 + 2);
    CHECK(at.core.numbers().peers.torrents == 0);
    at.now += 1s;
    CHECK_FALSE(at.ask(announce).empty());
}

TEST_CASE("packets with a forged sender use up nothing of whom they name", "[hub]") {
    tracker at;
    auto const proven = at.announce_of(1);
    auto forged = proven;
    forged.connection ^= 1;
    for (int i = 0; i < 10'000; ++i) {
        at.ask(udp_connect{1});
        at.ask(forged);
    }
    CHECK(at.core.numbers().over_limit > 9'000);  // of the connects
    CHECK_FALSE(at.ask(proven).empty());
    announce_request by_http;
    by_http.port = 2;
    auto const target = announce_target("/announce", by_http);
    CHECK(at.core.answer(net::http_request{"GET", target, {}, {}, client}, at.now).status == 200);
    for (int i = 0; i < 10'000; ++i) at.ask(proven);
    CHECK(at.core.answer(net::http_request{"GET", target, {}, {}, client}, at.now).status == 429);
}

TEST_CASE("what cannot be read is met with silence, and nothing unproven gets more than it sent", "[hub]") {
    tracker at;
    byte_vector packet;
    encode(packet, udp_connect{1});
    CHECK(at.answer(packet).size() == packet.size());
    for (std::size_t size = 0; size < packet.size(); ++size) CHECK(at.answer(byte_view{packet}.first(size)).empty());
    packet.resize(4000);
    CHECK(at.answer(packet).size() == udp_connect_size);
    CHECK(at.answer(byte_vector(16)).empty());
    CHECK(at.answer(byte_vector(1500, std::byte{0xff})).empty());
    auto const announce = at.announce_of(1);
    byte_vector whole;
    encode(whole, announce);
    for (std::size_t size = 0; size < whole.size(); ++size) CHECK(at.answer(byte_view{whole}.first(size)).empty());
    CHECK_FALSE(at.answer(whole).empty());
    CHECK(at.ask(udp_connect{1}, {client.address, 0}).empty());  // no port to answer to
}

TEST_CASE("a reply stays within one packet", "[hub]") {
    tracker at;
    for (std::uint32_t i = 0; i < 300; ++i) {
        endpoint const v4{ip_address::v4({10, 0, static_cast<std::uint8_t>(i >> 8), static_cast<std::uint8_t>(i)}), 1};
        at.ask(at.announce_of(9, v4), v4);
        endpoint const v6{*ip_address::parse("2001:db8:" + std::to_string(i) + "::1"), 1};
        at.ask(at.announce_of(9, v6), v6);
    }
    auto announce = at.announce_of(1);
    announce.request.peers_wanted = 1000;
    CHECK(at.ask(announce).size() == 20 + 200 * 6);
    auto const six = *endpoint::parse("[2001:db8:ffff::1]:1");
    announce.connection = at.connect(six);
    auto const reply = at.ask(announce, six);
    CHECK(reply.size() <= hub::udp_reply_max);
    CHECK(reply.size() > hub::udp_reply_max - 18);
}

TEST_CASE("a scrape by UDP gives numbers in order, up to a limit", "[hub]") {
    tracker at;
    auto announce = at.announce_of(1);
    announce.request.left = 0;
    announce.request.what = event::completed;
    at.ask(announce);
    info_hash unknown;
    unknown.bytes.fill(std::byte{1});
    auto const reply =
        parse_udp_reply(at.ask(udp_scrape{announce.connection, 5, {unknown, info_hash{}}, false}), udp_family::v4);
    CHECK(std::get<udp_scraped>(reply.value()).torrents == std::vector<scrape_entry>{{}, {{}, 1, 0, 1}});
    auto const scrape = [&](std::size_t count) {
        byte_vector packet;
        encode(packet, udp_scrape{announce.connection, 6, {}, false});
        packet.resize(packet.size() + 20 * count);
        return at.answer(packet);
    };
    CHECK(scrape(scrape_hashes_max - 1).size() == 8 + 12 * (scrape_hashes_max - 1));
    CHECK(scrape(scrape_hashes_max).size() == 8 + 12 * scrape_hashes_max);
    CHECK(std::holds_alternative<udp_error>(parse_udp_reply(scrape(scrape_hashes_max + 1), udp_family::v4).value()));
    CHECK(scrape(0).empty());
}
