#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

import shoal.core;
import shoal.registry;

using namespace shoal;
using registry::event;

namespace {
info_hash torrent(std::uint8_t number) {
    info_hash name;
    name.bytes.fill(std::byte{number});
    return name;
}
endpoint v4(std::uint32_t number, std::uint16_t port = 6881) {
    return {ip_address::v4({10, static_cast<std::uint8_t>(number >> 16), static_cast<std::uint8_t>(number >> 8),
                            static_cast<std::uint8_t>(number)}),
            port};
}
endpoint v6(std::uint8_t number) {
    return {*ip_address::parse("2001:db8:0:" + std::to_string(number) + "::1"), 6881};
}

struct tracker {
    registry::registry peers{registry::options{.secret = {1, 2}, .seed = 7}};
    time_point now{};

    auto announce(endpoint peer, bool is_complete, event what = event::started, std::uint32_t wanted = 50) {
        return peers.announce(
            {.torrent = torrent(1), .peer = peer, .is_complete = is_complete, .what = what, .peers_wanted = wanted},
            now);
    }
};
}  // namespace

TEST_CASE("two leechers are introduced to each other and not to themselves", "[registry]") {
    tracker hub;
    CHECK(hub.announce(v4(1), false).peers.empty());
    CHECK(hub.announce(v4(2), false).peers == std::vector{v4(1)});
    CHECK(hub.announce(v4(1), false, event::none).peers == std::vector{v4(2)});
}

TEST_CASE("a seeder is given leechers only", "[registry]") {
    tracker hub;
    hub.announce(v4(1), true);
    hub.announce(v4(2), true);
    hub.announce(v4(3), false);
    CHECK(hub.announce(v4(1), true, event::none).peers == std::vector{v4(3)});
    CHECK(hub.announce(v4(3), false, event::none).peers.size() == 2);
}

TEST_CASE("who says at its start that nothing is left gets a few seeders where there is nobody else", "[registry]") {
    tracker hub;
    for (std::uint32_t each = 1; each <= 20; ++each) hub.announce(v4(each), true);
    auto const given = hub.announce(v4(50), true).peers;
    CHECK(given.size() == 5);
    CHECK(std::ranges::find(given, v4(50)) == given.end());
    CHECK(hub.announce(v4(50), true, event::none).peers.empty());
    for (std::uint32_t each = 100; each < 150; ++each) hub.announce(v4(each), false);
    for (auto const& at : hub.announce(v4(51), true).peers) CHECK(at >= v4(100));
}

TEST_CASE("a leecher gets seeders and other leechers, half of each while there are enough", "[registry]") {
    tracker hub;
    for (std::uint32_t i = 0; i < 200; ++i) hub.announce(v4(i), i < 150);
    auto const given = hub.announce(v4(1000), false, event::started, 40).peers;
    CHECK(given.size() == 40);
    auto const seeders = std::count_if(given.begin(), given.end(), [](endpoint const& at) { return at < v4(150); });
    CHECK(seeders == 20);
    auto const many = hub.announce(v4(1000), false, event::none, 180).peers;
    CHECK(std::count_if(many.begin(), many.end(), [](endpoint const& at) { return at < v4(150); }) == 130);
    CHECK(many.size() == 180);
}

TEST_CASE("peers are chosen without repetition, and each is as likely as another", "[registry]") {
    tracker hub;
    constexpr std::uint32_t count = 101;
    for (std::uint32_t i = 0; i < count; ++i) hub.announce(v4(i), false);
    std::map<endpoint, int> hits;
    constexpr int rounds = 4000;
    for (int round = 0; round < rounds; ++round) {
        auto const given = hub.announce(v4(7), false, event::none, 10).peers;
        REQUIRE(given.size() == 10);
        REQUIRE(std::set<endpoint>(given.begin(), given.end()).size() == 10);
        for (auto const& at : given) ++hits[at];
    }
    CHECK(hits.count(v4(7)) == 0);
    CHECK(hits.size() == count - 1);
    for (auto const& [at, times] : hits) CHECK(std::abs(times - rounds / 10) < 120);  // six deviations
}

TEST_CASE("a count of peers up to what there is can be asked for", "[registry]") {
    tracker hub;
    for (std::uint32_t i = 0; i < 30; ++i) hub.announce(v4(i), i % 2 == 0);
    for (std::uint32_t const wanted : {0U, 1U, 28U, 29U, 30U, 1000U})
        CHECK(hub.announce(v4(1), false, event::none, wanted).peers.size() == std::min(wanted, 29U));
}

TEST_CASE("a finished download moves a peer to the seeders and is counted once", "[registry]") {
    tracker hub;
    hub.announce(v4(1), false);
    auto counts = hub.announce(v4(1), true, event::completed).counts;
    CHECK(counts.seeders == 1);
    CHECK(counts.leechers == 0);
    CHECK(counts.downloaded == 1);
    for (int replay = 0; replay < 10; ++replay) counts = hub.announce(v4(1), true, event::completed).counts;
    CHECK(counts.downloaded == 1);
    CHECK(hub.peers.scrape(torrent(1)).downloaded == 1);
}

TEST_CASE("a peer that claims completion with bytes left is not counted", "[registry]") {
    tracker hub;
    CHECK(hub.announce(v4(1), false, event::completed).counts.downloaded == 0);
}

TEST_CASE("a peer that stops is forgotten at once", "[registry]") {
    tracker hub;
    hub.announce(v4(1), true);
    hub.announce(v4(2), false);
    auto const left = hub.announce(v4(1), true, event::stopped);
    CHECK(left.peers.empty());
    CHECK_FALSE(left.is_stored);
    CHECK(left.counts.seeders == 0);
    CHECK(left.counts.leechers == 1);
    CHECK(hub.announce(v4(2), false, event::none).peers.empty());
    hub.announce(v4(2), false, event::stopped);
    CHECK(hub.peers.numbers().torrents == 0);
    CHECK(hub.peers.size() == 0);
}

TEST_CASE("a stop of an unknown peer or torrent changes nothing", "[registry]") {
    tracker hub;
    CHECK(hub.announce(v4(9), false, event::stopped).counts.leechers == 0);
    hub.announce(v4(1), false);
    CHECK(hub.announce(v4(9), false, event::stopped).counts.leechers == 1);
    CHECK(hub.announce(v4(1, 6882), false, event::stopped).counts.leechers == 1);
}

TEST_CASE("the downloaded count outlives the last peer", "[registry]") {
    tracker hub;
    hub.announce(v4(1), true, event::completed);
    hub.announce(v4(1), true, event::stopped);
    CHECK(hub.peers.scrape(torrent(1)).downloaded == 1);
    CHECK(hub.peers.scrape(torrent(1)).seeders == 0);
}

TEST_CASE("peers of the other family are given only to one who can use them", "[registry]") {
    tracker hub;
    hub.announce(v4(1), false);
    hub.announce(v6(1), false);
    CHECK(hub.announce(v4(2), false).peers == std::vector{v4(1)});
    CHECK(hub.announce(v6(2), false).peers == std::vector{v6(1)});
    auto const both = hub.peers.announce(
        {.torrent = torrent(1), .peer = v4(2), .peers_wanted = 3, .usable = registry::families::both}, hub.now);
    REQUIRE(both.peers.size() == 3);
    CHECK(both.peers[0] == v4(1));
    CHECK(both.counts.leechers == 4);
    auto const from_v6 = hub.peers.announce(
        {.torrent = torrent(1), .peer = v6(1), .peers_wanted = 50, .usable = registry::families::both}, hub.now);
    CHECK(from_v6.peers.size() == 3);
    CHECK(from_v6.peers[0] == v6(2));
}

TEST_CASE("a peer without a port is told about others and introduced to nobody", "[registry]") {
    tracker hub;
    CHECK(hub.announce(v4(1, 0), false).counts.leechers == 0);
    CHECK(hub.peers.numbers().torrents == 0);
    hub.announce(v4(2), false);
    auto const told = hub.announce(v4(1, 0), false);
    CHECK(told.peers == std::vector{v4(2)});
    CHECK_FALSE(told.is_stored);
    CHECK(hub.announce(v4(2), false, event::none).peers.empty());
}

TEST_CASE("the same seed makes the same choices", "[registry]") {
    tracker one;
    tracker other;
    for (std::uint32_t i = 0; i < 500; ++i)
        CHECK(one.announce(v4(i), i % 3 == 0).peers == other.announce(v4(i), i % 3 == 0).peers);
}

TEST_CASE("random changes leave the same swarm as a plain set would hold", "[registry]") {
    tracker hub;
    registry::dice random{99};
    std::map<endpoint, bool> model;
    for (int step = 0; step < 60'000; ++step) {
        auto const peer =
            random.below(10) == 0 ? v6(static_cast<std::uint8_t>(random.below(60))) : v4(random.below(700));
        auto const is_complete = random.below(2) == 0;
        if (random.below(5) < 2) {
            hub.announce(peer, is_complete, event::stopped);
            model.erase(peer);
        } else {
            hub.announce(peer, is_complete, event::none, 5);
            model[peer] = is_complete;
        }
        if (step % 1000 != 0) continue;
        auto const counts = hub.peers.scrape(torrent(1));
        auto const seeders = std::count_if(model.begin(), model.end(), [](auto const& known) { return known.second; });
        REQUIRE(counts.seeders == seeders);
        REQUIRE(counts.leechers == model.size() - seeders);
        REQUIRE(hub.peers.numbers().peers_v4 + hub.peers.numbers().peers_v6 == model.size());
        auto given =
            hub.peers
                .announce(
                    {.torrent = torrent(1), .peer = v4(1, 0), .peers_wanted = 5000, .usable = registry::families::both},
                    hub.now)
                .peers;
        std::sort(given.begin(), given.end());
        std::vector<endpoint> expected;
        for (auto const& [at, complete] : model) expected.push_back(at);
        REQUIRE(given == expected);
    }
}
