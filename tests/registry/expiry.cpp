#include <catch2/catch.hpp>
#include <chrono>
#include <cstdint>

import shoal.core;
import shoal.registry;

using namespace shoal;
using namespace std::chrono_literals;

namespace {
endpoint v4(std::uint32_t number) {
    return {ip_address::v4({10, 0, static_cast<std::uint8_t>(number >> 8), static_cast<std::uint8_t>(number)}), 6881};
}
info_hash torrent(std::uint8_t number) {
    info_hash name;
    name.bytes.fill(std::byte{number});
    return name;
}
/// Work for two rounds: idle places and shard ends are steps too.
std::size_t expire_all(registry::registry& peers, time_point now) {
    std::size_t dropped = 0;
    for (int round = 0; round < 60; ++round) dropped += peers.expire(now, 1000);
    return dropped;
}
registry::options with_lifetime(std::chrono::seconds lifetime) {
    return {.peer_lifetime = lifetime, .secret = {1, 2}};
}
}  // namespace

TEST_CASE("a silent peer is dropped after its lifetime and not before", "[registry]") {
    registry::registry peers{with_lifetime(600s)};
    time_point const start = time_point{} + 1000h;
    for (std::uint32_t i = 0; i < 100; ++i) peers.announce({.torrent = torrent(1), .peer = v4(i)}, start);
    peers.announce({.torrent = torrent(1), .peer = v4(7)}, start + 300s);
    CHECK(expire_all(peers, start + 600s) == 0);
    CHECK(expire_all(peers, start + 600s + 2 * registry::tick) == 99);
    CHECK(peers.scrape(torrent(1)).leechers == 1);
    CHECK(peers.numbers().expired == 99);
    CHECK(expire_all(peers, start + 2h) == 1);
    CHECK(peers.numbers().torrents == 0);
}

TEST_CASE("expiry does a bounded amount of work in one call and comes round", "[registry]") {
    registry::registry peers{with_lifetime(60s)};
    for (std::uint32_t i = 0; i < 1000; ++i)
        peers.announce({.torrent = torrent(static_cast<std::uint8_t>(i % 10)), .peer = v4(i)}, time_point{});
    CHECK(peers.expire(time_point{} + 1h, 100) <= 100);
    CHECK(peers.numbers().peers_v4 >= 900);
    std::size_t calls = 1;
    while (peers.numbers().peers_v4 > 0 && calls < 100) {
        peers.expire(time_point{} + 1h, 100);
        ++calls;
    }
    CHECK(calls >= 10);
    CHECK(calls < 15);
}

TEST_CASE("peers announced between two steps of expiry are kept", "[registry]") {
    registry::registry peers{with_lifetime(60s)};
    auto const later = time_point{} + 1h;
    for (std::uint32_t i = 0; i < 500; ++i)
        peers.announce({.torrent = torrent(1), .peer = v4(i), .is_complete = i % 2 == 0}, time_point{});
    for (std::uint32_t i = 0; i < 500; ++i) {
        peers.expire(later, 7);
        if (i % 5 == 0) peers.announce({.torrent = torrent(1), .peer = v4(i), .is_complete = i % 3 == 0}, later);
    }
    expire_all(peers, later);
    CHECK(peers.numbers().peers_v4 == 100);
}

TEST_CASE("the downloaded count of an empty torrent is forgotten after a day", "[registry]") {
    registry::registry peers{with_lifetime(60s)};
    peers.announce({.torrent = torrent(1), .peer = v4(1), .is_complete = true, .what = registry::event::completed},
                   time_point{});
    expire_all(peers, time_point{} + 1h);
    CHECK(peers.scrape(torrent(1)).seeders == 0);
    CHECK(peers.scrape(torrent(1)).downloaded == 1);
    expire_all(peers, time_point{} + 25h);
    CHECK(peers.scrape(torrent(1)).downloaded == 0);
}

TEST_CASE("an empty registry expires nothing", "[registry]") {
    registry::registry peers{{}};
    CHECK(peers.expire(time_point{} + 1h, 1000) == 0);
    CHECK(peers.size() == 0);
}
