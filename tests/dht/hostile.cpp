#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <map>
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

byte_vector query_of(dht::method what, dht::node_id const& id, dht::node_id const& target = {}) {
    dht::query asked;
    asked.what = what;
    asked.id = id;
    asked.target = target;
    return dht::encode(as_bytes("aa"), asked);
}
}  // namespace

TEST_CASE("a hundred thousand forged queries make a node send each victim little, and little in all", "[dht]") {
    dht_network network;
    grow(network, 30, outside);
    auto& node = *network.members.at(outside(0)).node;
    while (node.next_datagram()) {}
    dht::keyed_random random{{5, 6}};
    std::map<endpoint, std::size_t> bytes_to;
    std::size_t total = 0, largest = 0;
    auto now = network.now;
    for (std::uint32_t i = 0; i < 100'000; ++i) {
        now += 100us;  // ten seconds in all
        auto const victim = endpoint{ip_address::v4({77, 0, 0, static_cast<std::uint8_t>(i % 50)}), 53};
        auto const asked = query_of(dht::method::get_peers, random.id(), random.id());
        node.receive(victim, asked, now);
        while (auto const out = node.next_datagram()) {
            if (out->to != victim) continue;  // its own upkeep
            bytes_to[victim] += out->bytes.size();
            total += out->bytes.size();
            largest = std::max(largest, out->bytes.size());
            CHECK(out->bytes.size() <= dht::reply_factor_max * asked.size());
        }
    }
    CHECK(largest <= dht::reply_bytes_max);
    for (auto const& [victim, bytes] : bytes_to) CHECK(bytes <= 8u << 10);
    CHECK(total <= dht::reply_bytes_of_all.per_second * 12);
}

TEST_CASE("pings that a node sends to whom it was told of are few, whoever tells", "[dht]") {
    dht_network network;
    network.add(outside(0));
    auto& node = *network.members.at(outside(0)).node;
    dht::keyed_random random{{5, 6}};
    std::size_t sent = 0;
    auto now = network.now;
    for (std::uint32_t i = 0; i < 10'000; ++i) {
        now += 1ms;  // ten seconds in all
        node.receive(outside(i + 10), query_of(dht::method::ping, random.id()), now);
        while (auto const out = node.next_datagram())
            if (auto const what = dht::parse(out->bytes);
                what && std::holds_alternative<dht::query>(what.value().content))
                ++sent;
    }
    CHECK(sent <= 10s / dht::ping_interval + 10);
}

TEST_CASE("a reply from elsewhere, one too late and one with another transaction count for nothing", "[dht]") {
    dht_network network;
    auto const own = at("10.0.0.1:1"), asked = at("10.0.0.2:2");
    auto& node = network.add(own);
    node.hear_of(asked, network.now);
    auto const query = node.next_datagram();
    REQUIRE(query);
    auto const transaction = std::string{as_text(dht::parse(query->bytes).value().transaction)};
    CHECK(transaction.size() == 4);
    dht::reply told;
    told.id = dht::keyed_random{{8, 8}}.id();
    auto const now = network.now + 10ms;
    auto wrong = transaction;
    wrong[0] ^= 1;
    node.receive(at("10.0.0.2:3"), dht::encode(as_bytes(transaction), told, own), now);
    node.receive(at("10.0.0.3:2"), dht::encode(as_bytes(transaction), told, own), now);
    node.receive(asked, dht::encode(as_bytes(wrong), told, own), now);
    node.receive(asked, dht::encode(as_bytes(transaction.substr(0, 3)), told, own), now);
    CHECK(node.nodes() == 0);
    SECTION("and the right one counts once") {
        node.receive(asked, dht::encode(as_bytes(transaction), told, own), now);
        CHECK(node.nodes() == 1);
        told.id.bytes[0] ^= std::byte{1};
        node.receive(asked, dht::encode(as_bytes(transaction), told, own), now);
        CHECK(node.nodes() == 1);
    }
    SECTION("and after its time it does not") {
        node.wake(network.now + dht::query_timeout);
        node.receive(asked, dht::encode(as_bytes(transaction), told, own), network.now + dht::query_timeout);
        CHECK(node.nodes() == 0);
    }
}

TEST_CASE("nobody announces without the token that his address was given", "[dht]") {
    dht_network network;
    auto const own = at("10.0.0.1:1"), thief = at("10.0.0.9:9");
    auto& node = network.add(own);
    dht::query announce;
    announce.what = dht::method::announce_peer;
    announce.target = dht::place_of(torrent(1));
    announce.port = 80;
    announce.id.bytes[0] = std::byte{1};
    node.receive(at("10.0.0.2:2"), query_of(dht::method::get_peers, announce.id, announce.target), network.now);
    auto const reply = node.next_datagram();
    REQUIRE(reply);
    auto const told = std::get<dht::reply>(dht::parse(reply->bytes).value().content);
    REQUIRE(told.token);
    announce.token = *told.token;
    node.receive(thief, dht::encode(as_bytes("aa"), announce), network.now);
    CHECK(node.stored_torrents() == 0);
    auto refused = node.next_datagram();
    while (refused && refused->to != thief) refused = node.next_datagram();
    REQUIRE(refused);
    CHECK(std::get<dht::failure>(dht::parse(refused->bytes).value().content).code == 203);
    node.receive(at("10.0.0.2:2"), dht::encode(as_bytes("aa"), announce), network.now + 1min);
    CHECK(node.stored_torrents() == 1);
}

TEST_CASE("nodes and peers of a local network are believed of local nodes alone", "[dht]") {
    bool const is_local = GENERATE(true, false);
    dht_network network;
    auto const own = is_local ? at("10.0.0.1:1") : at("20.0.0.1:1");
    auto const liar = is_local ? at("10.0.0.2:2") : at("20.0.1.2:2");
    auto& node = network.add(own);
    node.hear_of(liar, network.now);
    std::vector<dht::any_event> events;
    auto now = network.now;
    dht::reply told;
    told.id.bytes[0] = std::byte{0x80};
    told.values = {at("192.168.1.1:80"), at("127.0.0.1:80"), at("33.0.0.1:80")};
    told.nodes = {{dht::keyed_random{{9, 9}}.id(), at("192.168.1.1:53")}};
    std::set<endpoint> asked;
    node.find(torrent(1), false, now);
    for (int i = 0; i < 50; ++i) {
        now += 300ms;
        node.wake(now);
        while (auto const out = node.next_datagram()) {
            asked.insert(out->to);
            auto const what = dht::parse(out->bytes);
            if (out->to == liar) node.receive(liar, dht::encode(what.value().transaction, told, own), now);
        }
    }
    std::set<endpoint> found;
    while (auto const happened = node.next_event())
        if (auto const* peers = std::get_if<dht::event::found>(&*happened))
            found.insert(peers->peers.begin(), peers->peers.end());
    CHECK(found.contains(at("33.0.0.1:80")));
    CHECK(found.contains(at("192.168.1.1:80")) == is_local);
    CHECK_FALSE(found.contains(at("127.0.0.1:80")));
    CHECK(asked.contains(at("192.168.1.1:53")) == is_local);
}

TEST_CASE("one network cannot talk a node into another address", "[dht]") {
    dht_network network;
    grow(network, 30, outside);
    auto const victim = outside(4);
    auto& node = *network.members.at(victim).node;
    auto const id = node.id();
    network.members.at(victim).events.clear();
    // Twenty liars of one /24 whom the node asks.
    network.on_datagram = [&](endpoint const& from, endpoint const& to, byte_view bytes) {
        if (from != victim || to.address.bytes()[0] != std::byte{66}) return true;
        dht::reply told;
        told.id = dht::keyed_random{{to.port, 3}}.id();
        auto const transaction = dht::parse(bytes).value().transaction;
        network.inject(to, victim, dht::encode(transaction, told, at("99.9.9.9:9")));
        return true;
    };
    for (std::uint16_t i = 0; i < 20; ++i) {
        node.hear_of({ip_address::v4({66, 1, 1, static_cast<std::uint8_t>(i)}), static_cast<std::uint16_t>(i + 1)},
                     network.now);
        network.drain(victim, network.members.at(victim));
    }
    network.run(60s);
    CHECK(node.id() == id);
    CHECK(std::ranges::none_of(network.members.at(victim).events, [](auto const& each) {
        return std::holds_alternative<dht::event::address_learned>(each);
    }));
}

TEST_CASE("a search ends although everybody names ever nearer nodes", "[dht]") {
    dht_network network;
    auto const victim = outside(0);
    auto& node = network.add(victim);
    std::uint32_t next = 1000;
    std::size_t queries = 0;
    network.on_datagram = [&](endpoint const& from, endpoint const& to, byte_view bytes) {
        if (from != victim) return true;
        auto const read = dht::parse(bytes);
        auto const* asked = std::get_if<dht::query>(&read.value().content);
        if (!asked) return true;
        ++queries;
        dht::reply told;
        told.id = asked->target;
        told.id.bytes[19] ^= static_cast<std::byte>(next & 0xff);
        for (int i = 0; i < 8; ++i) {
            auto id = asked->target;
            id.bytes[18] ^= static_cast<std::byte>(next >> 8 & 0xff);
            id.bytes[19] ^= static_cast<std::byte>(next & 0xff);
            told.nodes.push_back({id, outside(++next)});
        }
        network.inject(to, victim, dht::encode(read.value().transaction, told, victim));
        return true;
    };
    node.hear_of(outside(1), network.now);
    node.find(torrent(1), true, network.now);
    network.drain(victim, network.members.at(victim));
    network.run(5min);
    CHECK(network.ended(victim, torrent(1)));
    CHECK(queries < 3000);
}

TEST_CASE("a liar who names honest nodes under other ids leads no announce astray", "[dht]") {
    dht_network network;
    grow(network, 60, outside);
    auto const liar = at("66.6.6.6:6"), victim = outside(7);
    auto const target = dht::place_of(torrent(3));
    // The liar answers the victim with nodes far away, as if they were next to the target.
    std::vector<dht::contact> far;
    for (std::uint32_t i = 0; i < 60; ++i) far.push_back({network.members.at(outside(i)).node->id(), outside(i)});
    std::ranges::sort(far, [&](auto const& a, auto const& b) { return dht::is_nearer(target, b.id, a.id); });
    far.resize(8);
    network.on_datagram = [&](endpoint const& from, endpoint const& to, byte_view bytes) {
        if (from != victim || to != liar) return true;
        auto const read = dht::parse(bytes);
        dht::reply told;
        told.id = target;
        told.id.bytes[19] ^= std::byte{1};
        for (std::uint8_t i = 0; i < 8; ++i) {
            auto id = target;
            id.bytes[19] ^= static_cast<std::byte>(i + 2);
            told.nodes.push_back({id, far[i].at});
        }
        network.inject(liar, victim, dht::encode(read.value().transaction, told, victim));
        return true;
    };
    auto& node = *network.members.at(victim).node;
    node.hear_of(liar, network.now);
    network.drain(victim, network.members.at(victim));
    network.run(5s);
    node.find(torrent(3), true, network.now);
    network.drain(victim, network.members.at(victim));
    network.run(30s);
    REQUIRE(network.ended(victim, torrent(3)));
    network.on_datagram = nullptr;
    auto const asks = outside(40);
    network.members.at(asks).node->find(torrent(3), false, network.now);
    network.drain(asks, network.members.at(asks));
    network.run(30s);
    CHECK(network.found(asks, torrent(3)) == std::set{victim});
}

TEST_CASE("queries forged in the name of a node take nothing from it", "[dht]") {
    dht_network network;
    grow(network, 30, outside);
    auto const own = outside(0), named = outside(4);
    auto& node = *network.members.at(own).node;
    auto const id = network.members.at(named).node->id();
    dht::keyed_random random{{5, 6}};
    byte_vector const no_token(8);
    for (int i = 0; i < 3'000; ++i) {
        dht::query announce;
        announce.what = dht::method::announce_peer;
        announce.id = id;
        announce.port = 80;
        announce.token = no_token;
        auto const lies = std::array{query_of(dht::method::get_peers, random.id(), random.id()), byte_vector(30),
                                     dht::encode(as_bytes("aa"), announce)};
        network.inject(named, own, lies[static_cast<std::size_t>(i) % lies.size()]);
        if (i % 100 == 0) network.run(1s);
    }
    network.run(1min);
    auto const asker = at("33.0.0.1:5");
    node.receive(asker, query_of(dht::method::find_node, random.id(), id), network.now);
    node.receive(named, query_of(dht::method::ping, id), network.now);
    bool is_told_of = false, is_answered = false;
    while (auto const out = node.next_datagram()) {
        auto const read = dht::parse(out->bytes);
        auto const* told = read ? std::get_if<dht::reply>(&read.value().content) : nullptr;
        if (told && out->to == named) is_answered = true;
        if (told && out->to == asker)
            is_told_of = std::ranges::find(told->nodes, dht::contact{id, named}) != told->nodes.end();
    }
    CHECK(is_told_of);
    CHECK(is_answered);
}

TEST_CASE("a search finds the peer among a thousand Sybils next to the torrent on ten addresses", "[dht]") {
    dht_network network;
    grow(network, 100, outside);
    auto const target = dht::place_of(torrent(3));
    auto const sybil = [&](std::uint32_t number) -> dht::contact {
        auto id = target;
        id.bytes[18] ^= static_cast<std::byte>(number >> 8);
        id.bytes[19] ^= static_cast<std::byte>(number & 0xff);
        return {id,
                {ip_address::v4({66, 6, static_cast<std::uint8_t>(number % 10), 6}),
                 static_cast<std::uint16_t>(1000 + number)}};
    };
    // They answer with each other, take every announce and know of no peer.
    byte_vector const any_token(4);
    network.on_datagram = [&](endpoint const& from, endpoint const& to, byte_view bytes) {
        if (to.address.bytes()[0] != std::byte{66}) return true;
        auto const read = dht::parse(bytes);
        auto const* asked = read ? std::get_if<dht::query>(&read.value().content) : nullptr;
        if (!asked) return false;
        auto const number = to.port - 1000u;
        dht::reply told;
        told.id = sybil(number).id;
        told.token = any_token;
        if (asked->what != dht::method::ping)
            for (std::uint32_t i = 1; i <= 8; ++i) told.nodes.push_back(sybil((number + 131 * i) % 1000));
        network.inject(to, from, dht::encode(read.value().transaction, told, from));
        return false;
    };
    for (std::uint32_t i = 0; i < 1000; ++i)
        network.inject(sybil(i).at, outside(i % 100), query_of(dht::method::find_node, sybil(i).id, target));
    network.run(1min);
    auto const gives = outside(7), asks = outside(40);
    for (auto const& [who, announces] : std::array{std::pair{gives, true}, std::pair{asks, false}}) {
        network.members.at(who).node->find(torrent(3), announces, network.now);
        network.drain(who, network.members.at(who));
        network.run(1min);
        CHECK(network.ended(who, torrent(3)));
    }
    CHECK(network.found(asks, torrent(3)).contains(gives));
}

TEST_CASE("what is on our local network is not told to anybody outside", "[dht]") {
    dht_network network;
    auto const own = at("20.0.0.1:1"), near = at("192.168.0.7:7");
    auto& node = network.add(own);
    network.add(near);
    node.hear_of(near, network.now);
    network.drain(own, network.members.at(own));
    network.run(2s);
    REQUIRE(node.nodes() == 1);
    auto const told_to = [&](endpoint const& whom) {
        node.receive(whom, query_of(dht::method::find_node, dht::keyed_random{{whom.port, 1}}.id()), network.now);
        std::size_t nodes = 99;
        while (auto const out = node.next_datagram()) {
            auto const read = dht::parse(out->bytes);
            if (auto const* told = std::get_if<dht::reply>(&read.value().content); told && out->to == whom)
                nodes = told->nodes.size();
        }
        return nodes;
    };
    CHECK(told_to(at("33.0.0.1:5")) == 0);
    CHECK(told_to(at("192.168.0.8:8")) == 1);
}

TEST_CASE("a node does not answer itself, nor a query that nobody can have sent", "[dht]") {
    dht_network network;
    auto const own = at("10.0.0.1:1");
    auto& node = network.add(own);
    node.receive(at("10.0.0.2:2"), query_of(dht::method::ping, node.id()), network.now);
    node.receive(at("10.0.0.2:0"), query_of(dht::method::ping, {}), network.now);
    node.receive(at("224.0.0.1:5"), query_of(dht::method::ping, {}), network.now);
    node.receive(at("[2001:db8::1]:5"), query_of(dht::method::ping, {}), network.now);
    CHECK_FALSE(node.next_datagram());
    node.receive(at("10.0.0.2:2"), query_of(dht::method::ping, {}), network.now);
    CHECK(node.next_datagram());
}
