#include <algorithm>
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
using namespace std::chrono_literals;

namespace {
announce::announce_request request_of(std::uint16_t port, std::uint64_t left = 1) {
    announce::announce_request request;
    request.torrent.bytes.fill(std::byte{0xab});
    request.peer.bytes.fill(static_cast<std::byte>(port));
    request.port = port;
    request.left = left;
    return request;
}

struct tracker {
    explicit tracker(hub::settings how = {}) : core(std::move(how), {}) {}

    net::http_response get(std::string target, std::string_view from = "192.0.2.1:5000",
                           std::string_view method = "GET") {
        net::http_request const request{method, target, {}, {}, *endpoint::parse(from)};
        return core.answer(request, now);
    }
    announce::announce_reply announce(announce::announce_request const& request,
                                      std::string_view from = "192.0.2.1:5000") {
        auto const response = get(announce::announce_target("/announce", request), from);
        REQUIRE(response.status == 200);
        auto const parsed = announce::parse_http_reply(as_bytes(response.body));
        REQUIRE(parsed);
        REQUIRE(std::holds_alternative<announce::announce_reply>(parsed.value()));
        return std::get<announce::announce_reply>(parsed.value());
    }
    hub::service core;
    time_point now = time_point{} + 10h;
};
}  // namespace

TEST_CASE("peers that announce by HTTP are introduced to each other", "[hub]") {
    tracker at{{.interval = 600s, .min_interval = 120s}};
    CHECK(at.announce(request_of(1)).peers.empty());
    auto const reply = at.announce(request_of(2, 0), "192.0.2.2:5000");
    REQUIRE(reply.peers.size() == 1);
    CHECK(reply.peers[0] == *endpoint::parse("192.0.2.1:1"));
    CHECK(reply.interval == 600s);
    CHECK(reply.min_interval == 120s);
    CHECK(reply.seeders == 1U);
    CHECK(reply.leechers == 1U);
    CHECK(reply.downloaded == 0U);
    CHECK(reply.external_ip == ip_address::parse("192.0.2.2"));
    CHECK(at.core.numbers().http_announces == 2);
}

TEST_CASE("an HTTP announce over IPv6 is given peers of both families", "[hub]") {
    tracker at;
    at.announce(request_of(1));
    at.announce(request_of(2), "[2001:db8::1]:5000");
    auto const peers = at.announce(request_of(3), "[2001:db8:1::1]:5000").peers;
    REQUIRE(peers.size() == 2);
    CHECK(peers[1] == *endpoint::parse("[2001:db8::1]:2"));
    CHECK(peers[0] == *endpoint::parse("192.0.2.1:1"));
}

TEST_CASE("nobody but this machine may announce for another address", "[hub]") {
    tracker at;
    auto claim = request_of(1);
    claim.ip = ip_address::parse("198.51.100.9");
    at.announce(claim);
    auto const target = announce::announce_target("/announce", request_of(2)) + "&ipv4=198.51.100.9&ipv6=2001:db8::9";
    at.get(target, "192.0.2.2:5000");
    auto const peers = at.announce(request_of(3), "192.0.2.3:5000").peers;
    CHECK(peers.size() == 2);
    for (auto const& peer : peers) CHECK(peer.address != *claim.ip);
    at.announce(claim, "127.0.0.1:5000");
    CHECK(at.announce(request_of(3), "192.0.2.3:5000").peers.size() == 3);
}

TEST_CASE("an answer holds peers up to a limit", "[hub]") {
    tracker at{{.peers_default = 5, .peers_max = 20}};
    for (std::uint16_t i = 1; i <= 40; ++i) at.announce(request_of(i), "192.0.2." + std::to_string(i) + ":5000");
    auto asked = request_of(99);
    CHECK(at.announce(asked).peers.size() == 5);
    for (std::uint32_t const wanted : {0U, 19U, 20U, 21U, 1'000'000U}) {
        asked.peers_wanted = wanted;
        CHECK(at.announce(asked).peers.size() == std::min(wanted, 20U));
    }
}

TEST_CASE("a scrape gives numbers for the torrents it names, and no list of all", "[hub]") {
    tracker at;
    at.announce(request_of(1, 0));
    at.announce(request_of(2));
    std::vector<info_hash> const torrents{info_hash{}, request_of(1).torrent};
    auto const body = at.get(*announce::scrape_target("/announce", torrents)).body;
    auto const reply = std::get<announce::scrape_reply>(announce::parse_http_scrape_reply(as_bytes(body)).value());
    REQUIRE(reply.torrents.size() == 2);
    CHECK(reply.torrents[1] == announce::scrape_entry{request_of(1).torrent, 1, 1, 0});
    for (auto const target : {"/scrape", "/scrape?", "/scrape?x=1"})
        CHECK(at.get(target).body.starts_with("d14:failure reason"));
}

TEST_CASE("what cannot be read is answered with a reason", "[hub]") {
    tracker at;
    for (auto const query :
         {"", "?", "?info_hash=short", "?info_hash=%zz", "?info_hash=aaaaaaaaaaaaaaaaaaaa",
          "?info_hash=aaaaaaaaaaaaaaaaaaaa&peer_id=x", "?info_hash=aaaaaaaaaaaaaaaaaaaa&peer_id=bbbbbbbbbbbbbbbbbbbb",
          "?info_hash=aaaaaaaaaaaaaaaaaaaa&peer_id=bbbbbbbbbbbbbbbbbbbb&port=70000",
          "?info_hash=aaaaaaaaaaaaaaaaaaaa&peer_id=bbbbbbbbbbbbbbbbbbbb&port=1&left=x"}) {
        auto const response = at.get(std::string{"/announce"} + query);
        INFO(query);
        CHECK(response.status == 200);
        CHECK(response.body.starts_with("d14:failure reason"));
    }
    CHECK(at.core.numbers().malformed == 9);
    CHECK(at.core.numbers().peers.torrents == 0);
}

TEST_CASE("other paths and methods are refused", "[hub]") {
    tracker at;
    CHECK(at.get("/healthz").status == 200);
    CHECK(at.get("/healthz").body == "ok\n");
    CHECK(at.get("/healthz", "192.0.2.1:5000", "HEAD").status == 200);
    for (auto const target : {"/", "", "/announce/", "/announcex", "/Announce", "//announce", "/scrape/..",
                              "/../announce", "/%61nnounce", "http://host/announce", "*"})
        CHECK(at.get(target).status == 404);
    for (auto const method : {"POST", "PUT", "DELETE", "OPTIONS", "get", "CONNECT"})
        CHECK(at.get("/announce", "192.0.2.1:5000", method).status == 405);
}

TEST_CASE("an address that asks too often is told so, loopback is not counted", "[hub]") {
    tracker at{{.requests_per_second = 1}};
    for (int i = 0; i < 10; ++i) CHECK(at.get("/announce").status == 200);
    CHECK(at.get("/announce").status == 429);
    CHECK(at.get("/healthz").status == 200);
    CHECK(at.get("/announce", "192.0.2.2:5000").status == 200);
    CHECK(at.core.numbers().over_limit == 1);
    for (int i = 0; i < 100; ++i) CHECK(at.get("/announce", "127.0.0.1:5000").status == 200);
    at.now += 1s;
    CHECK(at.get("/announce").status == 200);
}

TEST_CASE("silent peers are forgotten within a minute after their time", "[hub]") {
    tracker at{{.interval = 600s}};
    for (std::uint16_t i = 1; i <= 200; ++i) at.announce(request_of(i), "192.0.2." + std::to_string(i) + ":5000");
    auto const pass = [&](std::chrono::seconds length) {
        for (auto const end = at.now + length; at.now < end; at.now += 100ms) at.core.expire(at.now);
    };
    pass(900s);
    CHECK(at.core.numbers().peers.peers_v4 == 200);
    pass(160s);
    CHECK(at.core.numbers().peers.peers_v4 == 0);
    CHECK(at.core.numbers().peers.expired == 200);
}

TEST_CASE("announces are logged when asked for", "[hub]") {
    std::vector<std::string> lines;
    hub::settings how;
    how.log = [&](hub::log_level, std::string_view line) { lines.emplace_back(line); };
    tracker quiet{how};
    quiet.announce(request_of(1));
    CHECK(lines.empty());
    how.is_each_announce_logged = true;
    tracker loud{how};
    loud.announce(request_of(1, 0));
    REQUIRE(lines.size() == 1);
    CHECK(lines[0] ==
          "http announce abababababababababababababababababababab from 192.0.2.1:5000 port 1 complete given 0");
}
