#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <set>
#include <string>
#include <vector>

import shoal.core;
import shoal.registry;

using namespace shoal;
using namespace std::chrono_literals;
using registry::event;

namespace {
info_hash random_torrent(registry::dice& random) {
    info_hash name;
    for (auto& byte : name.bytes) byte = static_cast<std::byte>(random.next() & 0xff);
    return name;
}
endpoint v4(std::uint32_t number, std::uint16_t port = 6881) {
    return {ip_address::v4({10, static_cast<std::uint8_t>(number >> 16), static_cast<std::uint8_t>(number >> 8),
                            static_cast<std::uint8_t>(number)}),
            port};
}
registry::options with(registry::limits const& bounds) {
    return {.bounds = bounds, .secret = {3, 4}, .seed = 5};
}
registry::announcement from(info_hash const& name, endpoint peer) {
    return {.torrent = name, .peer = peer};
}
}  // namespace

TEST_CASE("one address holds a bounded number of places in a torrent, the newest ones", "[registry]") {
    for (std::uint32_t const others : {0U, 500U}) {  // a small set that is scanned, a large one with an index
        registry::registry peers{with({.peers_per_address_max = 4})};
        for (std::uint32_t i = 0; i < others; ++i) peers.announce(from({}, v4(i + 10)), time_point{});
        for (std::uint16_t port = 1; port <= 3; ++port)
            peers.announce(from({}, v4(1, port)), time_point{} + port * 20s);
        CHECK(peers.scrape({}).leechers == others + 3);
        peers.announce(from({}, v4(1, 4)), time_point{} + 80s);
        CHECK(peers.scrape({}).leechers == others + 4);
        peers.announce(from({}, v4(1, 5)), time_point{} + 100s);
        CHECK(peers.scrape({}).leechers == others + 4);
        auto const known = peers.announce({.torrent = {}, .peer = v4(2, 0), .peers_wanted = 5000}, time_point{}).peers;
        std::set<endpoint> const all(known.begin(), known.end());
        CHECK(all.count(v4(1, 1)) == 0);
        CHECK(all.count(v4(1, 2)) == 1);
        CHECK(all.count(v4(1, 5)) == 1);
        CHECK(peers.numbers().peers_evicted == 1);
    }
}

TEST_CASE("an IPv6 network of 64 bits counts as one address", "[registry]") {
    registry::registry peers{with({.peers_per_address_max = 2})};
    for (int i = 1; i < 10; ++i)
        peers.announce(from({}, {*ip_address::parse("2001:db8::" + std::to_string(i)), 1}), time_point{});
    CHECK(peers.scrape({}).leechers == 2);
    peers.announce(from({}, {*ip_address::parse("2001:db8:0:1::1"), 1}), time_point{});
    CHECK(peers.scrape({}).leechers == 3);
}

TEST_CASE("loopback addresses are not counted, and many of them are no burden", "[registry]") {
    registry::registry peers{with({})};
    endpoint at{ip_address::v4({127, 0, 0, 1}), 0};
    for (at.port = 1; at.port < 60'000; ++at.port) peers.announce(from({}, at), time_point{});
    CHECK(peers.scrape({}).leechers == 59'999);
}

TEST_CASE("a torrent holds peers up to its bound, then the one silent longest of a sample gives way", "[registry]") {
    registry::registry peers{with({.peers_per_torrent_max = 100})};
    for (std::uint32_t i = 0; i < 99; ++i) peers.announce(from({}, v4(i)), time_point{} + i * 20s);
    CHECK(peers.scrape({}).leechers == 99);
    peers.announce(from({}, v4(99)), time_point{} + 99 * 20s);
    CHECK(peers.scrape({}).leechers == 100);
    CHECK(peers.numbers().peers_evicted == 0);
    for (std::uint32_t i = 100; i < 150; ++i) CHECK(peers.announce(from({}, v4(i)), time_point{} + i * 20s).is_stored);
    CHECK(peers.scrape({}).leechers == 100);
    CHECK(peers.numbers().peers_evicted == 50);
    auto const newest = peers.announce({.torrent = {}, .peer = v4(200, 0), .peers_wanted = 100}, time_point{}).peers;
    CHECK(std::set<endpoint>(newest.begin(), newest.end()).count(v4(149)) == 1);
}

TEST_CASE("torrents are held up to the bound: invented ones push each other out, a swarm stays", "[registry]") {
    registry::registry peers{with({.torrents_max = 100})};
    registry::dice random{1};
    auto const swarm = random_torrent(random);
    for (std::uint32_t i = 0; i < 3; ++i) peers.announce(from(swarm, v4(i)), time_point{});
    for (int i = 0; i < 98; ++i) peers.announce(from(random_torrent(random), v4(50)), time_point{} + 20s);
    CHECK(peers.numbers().torrents == 99);
    peers.announce(from(random_torrent(random), v4(50)), time_point{} + 20s);
    CHECK(peers.numbers().torrents == 100);
    CHECK(peers.numbers().torrents_evicted == 0);
    for (int i = 0; i < 20'000; ++i) peers.announce(from(random_torrent(random), v4(50)), time_point{} + 40s);
    CHECK(peers.numbers().torrents <= 100);
    CHECK(peers.numbers().torrents > 80);
    CHECK(peers.scrape(swarm).leechers == 3);
}

TEST_CASE("peers up to the bound over all torrents", "[registry]") {
    registry::registry peers{with({.peers_max = 50})};
    registry::dice random{2};
    auto const swarm = random_torrent(random);
    for (std::uint32_t i = 0; i < 49; ++i) peers.announce(from(swarm, v4(i)), time_point{});
    CHECK(peers.numbers().peers_v4 == 49);
    CHECK(peers.announce(from(random_torrent(random), v4(60)), time_point{}).is_stored);
    CHECK(peers.numbers().peers_v4 == 50);
    SECTION("a further torrent pushes out one of its own size or finds no room, never the swarm") {
        for (int i = 0; i < 1000; ++i) peers.announce(from(random_torrent(random), v4(61)), time_point{});
        CHECK(peers.scrape(swarm).leechers == 49);
        CHECK(peers.numbers().peers_v4 <= 50);
    }
    SECTION("a further peer of the swarm takes the place of an invented torrent or of its own eldest") {
        for (std::uint32_t i = 100; i < 200; ++i) CHECK(peers.announce(from(swarm, v4(i)), time_point{}).is_stored);
        CHECK(peers.scrape(swarm).leechers >= 49);
        CHECK(peers.numbers().peers_v4 <= 50);
    }
}

TEST_CASE("memory stays below its bound under a flood of random torrents and peers", "[registry]") {
    constexpr std::size_t bound = 2 << 20;
    registry::registry peers{with({.memory_max = bound})};
    registry::dice random{3};
    auto const swarm = random_torrent(random);
    for (std::uint32_t i = 0; i < 20; ++i) peers.announce(from(swarm, v4(i)), time_point{});
    auto const has_both_families = GENERATE(false, true);
    for (int i = 0; i < 60'000; ++i) {
        auto const invented = random_torrent(random);
        peers.announce(from(invented, v4(random.below(1 << 24))), time_point{} + 20s);
        if (has_both_families)
            peers.announce(from(invented, {*ip_address::parse("2001:db8::" + std::to_string(i % 10'000)), 1}),
                           time_point{} + 20s);
        if (i % 1000 == 0) REQUIRE(peers.memory() <= bound);
    }
    CHECK(peers.memory() > bound * 3 / 4);
    CHECK(peers.scrape(swarm).leechers == 20);
    auto const held = peers.numbers().torrents;
    CHECK(peers.memory() / held <= 200);  // class I3: a new random hash costs at most 200 bytes
    for (std::uint32_t i = 0; i < 150'000; ++i) peers.announce(from(swarm, v4(i)), time_point{} + 40s);
    CHECK(peers.memory() <= bound);
}

TEST_CASE("whatever gives way at the bounds, each torrent has peers of its own and the one that was just stored",
          "[registry]") {
    auto settings = with({.torrents_max = 12, .peers_max = 40});
    settings.shard_count = 1;
    registry::registry peers{settings};
    registry::dice random{11};
    std::vector<info_hash> names;
    while (names.size() < 30) names.push_back(random_torrent(random));
    std::vector<std::set<endpoint>> model(names.size());  // announced and not stopped: some of them gave way
    std::size_t stored = 0;
    for (int step = 0; step < 30'000; ++step) {
        auto const which = random.below(static_cast<std::uint32_t>(names.size()));
        auto const number = random.below(200);
        auto const peer =
            number < 80 ? endpoint{*ip_address::parse("2001:db8:" + std::to_string(number) + "::1"), 7} : v4(number);
        auto asked = from(names[which], peer);
        asked.what = random.below(4) == 0 ? event::stopped : event::none;
        auto const answer = peers.announce(asked, time_point{} + std::chrono::seconds{step});
        if (asked.what == event::stopped)
            model[which].erase(peer);
        else
            model[which].insert(peer);
        auto onlooker = from(names[which], v4(1, 0));
        onlooker.peers_wanted = 100;
        onlooker.usable = registry::families::both;
        auto const there = peers.announce(onlooker, time_point{} + std::chrono::seconds{step}).peers;
        CAPTURE(step);
        REQUIRE(std::ranges::all_of(there, [&](auto const& each) { return model[which].contains(each); }));
        REQUIRE(answer.is_stored == (std::ranges::count(there, peer) == 1));
        stored += answer.is_stored ? 1 : 0;
        std::size_t sum = 0;
        for (auto const& name : names) sum += peers.scrape(name).leechers;
        REQUIRE(sum == peers.numbers().peers_v4 + peers.numbers().peers_v6);
        REQUIRE(sum <= 40);
        REQUIRE(peers.numbers().torrents <= 12);
    }
    CHECK(stored > 5000);
    CHECK(peers.numbers().torrents_evicted > 100);
}

TEST_CASE("who floods pushes out his own torrents, and not the only seeder of something", "[registry]") {
    registry::registry peers{with({.torrents_max = 1000, .memory_max = 4 << 20})};
    registry::dice random{6};
    std::vector<info_hash> alone(100);  // one seeder each, of whom nothing was heard for long
    for (std::uint32_t i = 0; i < alone.size(); ++i) {
        alone[i] = random_torrent(random);
        peers.announce(from(alone[i], v4(1000 + i)), time_point{});
    }
    auto const ports = GENERATE(1, 3, 40);  // of each flooding address in each invented torrent
    for (std::uint32_t i = 0; i < 4000; ++i) {
        auto const invented = random_torrent(random);
        for (int port = 1; port <= ports; ++port)
            peers.announce(from(invented, v4(i % 2, static_cast<std::uint16_t>(port))), time_point{} + 20min);
        if (i % 20 == 0) {  // somebody new still finds room
            alone.push_back(random_torrent(random));
            auto const newcomer = v4(5000 + i);
            CHECK(peers.announce(from(alone.back(), newcomer), time_point{} + 20min).is_stored);
        }
    }
    CHECK(peers.numbers().torrents > 900);
    for (auto const& each : alone) CHECK(peers.scrape(each).leechers == 1);
}

TEST_CASE("ten million invented torrents cost a bounded memory, and the tracker's answers stay right", "[registry]") {
    // Class I3, T-FLOOD. SHOAL_FLOOD=10000000 is the whole; the flood comes from 200 addresses.
    auto const* const wanted = std::getenv("SHOAL_FLOOD");
    auto const count = wanted == nullptr ? 100'000U : static_cast<std::uint32_t>(std::stoul(wanted));
    auto const bounds = wanted == nullptr ? registry::limits{.memory_max = 8 << 20} : registry::limits{};
    registry::registry peers{with(bounds)};
    registry::dice random{7};
    auto const swarm = random_torrent(random);
    auto at = time_point{};
    std::uint32_t asked = 0, right = 0;
    for (std::uint32_t i = 0; i < count; ++i) {
        at += std::chrono::microseconds{100};
        peers.announce(from(random_torrent(random), v4(random.below(200))), at);
        peers.expire(at, 2);
        if (i % 1000 != 0) continue;
        auto const member = v4(10'000 + i / 1000 % 20);  // of twenty, in turn
        auto const answer = peers.announce(from(swarm, member), at);
        REQUIRE(peers.memory() <= bounds.memory_max);
        ++asked;
        auto const expected = std::min(asked, 20U);
        right += answer.is_stored && answer.counts.leechers == expected && answer.peers.size() == expected - 1;
    }
    CHECK(right == asked);
    CHECK(peers.memory() / peers.numbers().torrents <= 200);
    if (wanted != nullptr)
        WARN(peers.numbers().torrents << " torrents in " << (peers.memory() >> 20) << " MiB, " << right << " of "
                                      << asked << " answers right");
}

TEST_CASE("an IPv4 peer of a large swarm costs at most 24 bytes", "[registry]") {
    registry::registry peers{with({})};
    auto const empty = peers.memory();
    std::size_t worst = 0;
    for (std::uint32_t i = 0; i < 100'000; ++i) {
        peers.announce(from({}, v4(i)), time_point{});
        if (i > 10'000) worst = std::max(worst, (peers.memory() - empty) / i);
    }
    CHECK(worst <= 24);
}

TEST_CASE("names that collide under a plain hash cost no more than others", "[registry]") {
    // Class I14: what takes each bucket of a plain hash, over the same work with names that differ.
    constexpr std::uint32_t count = 100'000;
    auto const cost = [&](bool collide) {
        registry::registry peers{with({})};
        registry::dice random{8};
        auto const begin = std::clock();
        info_hash name;  // equal in the first 16 bytes, of which a plain hash of identifiers takes some
        for (std::uint32_t i = 0; i < count; ++i) {
            if (!collide) name = random_torrent(random);
            store_be(mutable_byte_view{name.bytes}.subspan(16), i);
            peers.announce(from(name, v4(1)), time_point{});
        }
        CHECK(peers.numbers().torrents == count);
        return static_cast<double>(std::clock() - begin);
    };
    auto colliding = cost(true), others = cost(false);
    for (int round = 0; round < 2; ++round) {  // the least of three: what else the machine does only adds
        colliding = std::min(colliding, cost(true));
        others = std::min(others, cost(false));
    }
    CHECK(colliding < 2 * others);
}
