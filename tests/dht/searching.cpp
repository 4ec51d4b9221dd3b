#include <algorithm>
#include <catch2/catch.hpp>
#include <set>
#include <string>

#include "network.hpp"

namespace {
using namespace shoal;
using namespace std::chrono_literals;
using testing::at;
using testing::dht_network;
using testing::grow;
using testing::outside;
using testing::torrent;

void find(dht_network& network, endpoint const& who, info_hash const& what, bool announces) {
    network.members.at(who).node->find(what, announces, network.now);
    network.drain(who, network.members.at(who));
}
}  // namespace

TEST_CASE("one of two nodes finds the peer that the other announced", "[dht]") {
    dht_network network;
    auto const a = at("127.0.0.1:1001"), b = at("127.0.0.1:1002");
    network.add(a);
    network.join(b, a);
    find(network, a, torrent(1), true);
    network.run(5s);
    REQUIRE(network.ended(a, torrent(1)));
    CHECK(network.ended(a, torrent(1))->told == 1);
    find(network, b, torrent(1), false);
    network.run(5s);
    REQUIRE(network.ended(b, torrent(1)));
    CHECK(network.found(b, torrent(1)) == std::set{a});  // B holds it itself
    // A holds nothing: a third one that knows A alone is led to B.
    auto const c = at("127.0.0.1:1003");
    network.join(c, a);
    find(network, c, torrent(1), false);
    network.run(10s);
    CHECK(network.found(c, torrent(1)) == std::set{a});
}

TEST_CASE("who announces to a node that looks for him is found at once", "[dht]") {
    dht_network network;
    auto const a = at("127.0.0.1:1001"), b = at("127.0.0.1:1002");
    network.add(a);
    network.join(b, a);
    find(network, b, torrent(1), false);
    network.run(5s);
    REQUIRE(network.ended(b, torrent(1)));
    CHECK(network.found(b, torrent(1)).empty());
    find(network, a, torrent(1), true);
    network.run(5s);
    CHECK(network.found(b, torrent(1)) == std::set{a});
}

TEST_CASE("in a network of two hundred nodes everybody finds the peers of a torrent", "[dht]") {
    dht_network network;
    grow(network, 200, outside);
    for (std::uint32_t i : {3u, 77u, 150u}) find(network, outside(i), torrent(9), true);
    network.run(30s);
    for (std::uint32_t i : {3u, 77u, 150u}) {
        REQUIRE(network.ended(outside(i), torrent(9)));
        CHECK(network.ended(outside(i), torrent(9))->told == dht::bucket_size);
    }
    std::set const peers{outside(3), outside(77), outside(150)};
    for (std::uint32_t i = 0; i < 200; i += 9) {
        find(network, outside(i), torrent(9), false);
        auto const sent = network.members.at(outside(i)).sent;
        network.run(10s);
        INFO(i);
        auto found = network.found(outside(i), torrent(9));
        found.insert(outside(i));
        CHECK(std::ranges::includes(found, peers));
        CHECK(network.members.at(outside(i)).sent - sent < 60);
    }
}

TEST_CASE("peers are found although a third of the nodes has died", "[dht]") {
    dht_network network;
    grow(network, 120, outside);
    find(network, outside(5), torrent(4), true);
    network.run(30s);
    for (std::uint32_t i = 10; i < 120; i += 3) network.silent.insert(outside(i));
    find(network, outside(8), torrent(4), false);
    network.run(20s);
    REQUIRE(network.ended(outside(8), torrent(4)));
    CHECK(network.found(outside(8), torrent(4)) == std::set{outside(5)});
}

TEST_CASE("a search that is wanted before anybody is known begins when somebody is", "[dht]") {
    dht_network network;
    auto const a = at("10.0.0.1:1001"), b = at("10.0.0.2:1002");
    network.add(a);
    network.add(b);
    find(network, b, torrent(1), false);
    network.run(10min);
    CHECK_FALSE(network.ended(b, torrent(1)));
    network.members.at(b).node->hear_of(a, network.now);
    network.drain(b, network.members.at(b));
    network.run(10s);
    CHECK(network.ended(b, torrent(1)));
}

TEST_CASE("a node that starts again begins with the nodes it knew, and with the id of its address", "[dht]") {
    dht_network network;
    grow(network, 40, outside);
    auto const state = network.members.at(outside(7)).node->state();
    auto& again = network.add(outside(7), false, state);
    CHECK(dht::is_tied(again.id(), outside(7).address));
    CHECK(again.nodes() == 0);
    network.run(10s);
    CHECK(again.nodes() >= dht::bucket_size);
}

TEST_CASE("a bad state is as none", "[dht]") {
    dht_network network;
    grow(network, 20, outside);
    for (std::string const& state : std::vector<std::string>{"", "x", "de", "d2:id3:abce", "d2:idi3e5:nodesi4ee",
                                                             "d5:nodes5:abcdee", std::string(5000, 'l')}) {
        auto const& node = network.join_by(outside(50), outside(0), false, as_bytes(state));
        network.run(20s);
        CHECK(node.nodes() >= dht::bucket_size);
    }
}

TEST_CASE("a node whose nodes have all died finds the network again by its routers", "[dht]") {
    dht_network network;
    grow(network, 30, outside);
    auto& node = *network.members.at(outside(20)).node;
    for (std::uint32_t i = 0; i < 30; ++i)
        if (i != 20) network.silent.insert(outside(i));
    network.run(1h);
    // The router is back, and another network behind it: nobody of the old one.
    network.silent.erase(outside(0));
    for (std::uint32_t i = 100; i < 120; ++i) network.join_by(outside(i), outside(0));
    network.run(30min);
    find(network, outside(20), torrent(2), true);
    network.run(20s);
    REQUIRE(network.ended(outside(20), torrent(2)));
    CHECK(network.ended(outside(20), torrent(2))->told >= dht::bucket_size);
    CHECK(node.nodes() >= dht::bucket_size);
}

TEST_CASE("a search that begins while one for the same torrent is under way tells of us too", "[dht]") {
    dht_network network;
    grow(network, 20, outside);
    find(network, outside(3), torrent(5), false);
    find(network, outside(3), torrent(5), true);
    network.run(20s);
    REQUIRE(network.ended(outside(3), torrent(5)));
    CHECK(network.ended(outside(3), torrent(5))->told == dht::bucket_size);
}

TEST_CASE("nodes of IPv6 have a network of their own", "[dht]") {
    dht_network network;
    auto const six = [](std::uint32_t i) {
        return endpoint{ip_address::v6({0x20, 1, static_cast<std::uint8_t>(i), 9, 1, 2, 3, 4}), 6881};
    };
    network.add(six(0), true);
    for (std::uint32_t i = 1; i < 30; ++i) {
        network.join_by(six(i), six(0), true);
        network.run(1s);
    }
    network.members.at(six(1)).node->hear_of(at("1.2.3.4:5"), network.now);  // not its family
    find(network, six(3), torrent(1), true);
    network.run(20s);
    find(network, six(20), torrent(1), false);
    network.run(20s);
    CHECK(network.found(six(20), torrent(1)) == std::set{six(3)});
}

TEST_CASE("a node changes its id for the one that its address gives, once enough others agree", "[dht]") {
    dht_network network;
    grow(network, 30, outside);
    for (std::uint32_t i = 0; i < 30; ++i) {
        INFO(i);
        CHECK(dht::is_tied(network.members.at(outside(i)).node->id(), outside(i).address));
    }
}

TEST_CASE("an idle node of a settled network wakes and sends little", "[dht]") {
    dht_network network;
    grow(network, 50, outside);
    network.run(20min);
    auto const sent = network.members.at(outside(9)).sent;
    auto const wakes = network.wakes;
    network.run(1h);
    CHECK(network.members.at(outside(9)).sent - sent < 3000);
    CHECK((network.wakes - wakes) / 50 < 3000);
}
