#include <algorithm>
#include <catch2/catch.hpp>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "fixture.hpp"

import shoal.dht;
using namespace fixture;

// Class D5: whoever is told of may be a victim. What holds for a swarm holds for the search for a magnet link.
namespace {
/// A node of the DHT that answers every query: it knows one other node, and of every torrent these peers.
net::task<void> name_to_all(net::datagram_socket& at, dht::node_id own, dht::contact other,
                            std::vector<endpoint> peers) {
    std::vector<net::datagram> in(1);
    while (co_await at.receive(in)) {
        auto const asked = dht::parse(in[0].bytes);
        if (!asked || !std::holds_alternative<dht::query>(asked.value().content)) continue;
        dht::reply answer;
        answer.id = own;
        answer.nodes.push_back(other);
        if (std::get<dht::query>(asked.value().content).what == dht::method::get_peers) {
            answer.values = peers;
            answer.token = as_bytes("token");
        }
        auto const bytes = dht::encode(asked.value().transaction, answer, in[0].peer);
        net::datagram const out{in[0].peer, bytes};
        (void)at.send({&out, 1});
    }
}

/// Whom a search for a magnet link connects to within some minutes, when a node of the DHT names these.
std::set<endpoint> tried_when_told_of(std::vector<endpoint> const& peers) {
    testing::simulation world{1};
    dht::node_id ids[2];
    std::unique_ptr<net::datagram_socket> sockets[2];
    for (std::size_t i = 0; i < 2; ++i) {
        ids[i].bytes.fill(static_cast<std::byte>(0x50 + i));
        sockets[i] = world.host(2 * i).network.open_datagram({{}, 6881}).value();
    }
    // A router only tells of nodes; what the other one says of peers is believed.
    for (std::size_t i = 0; i < 2; ++i)
        world.spawn("node",
                    name_to_all(*sockets[i], ids[i], {ids[1 - i], {world.address_of(2 * (1 - i)), 6881}}, peers));
    auto& inner = world.host(1);
    watched_network network{inner.network};
    net::environment seen{inner.clock, network, inner.random, inner.workers};
    engine::node_settings settings;
    settings.utp = false;
    settings.dht = true;
    settings.dht_routers.push_back({world.address_of(0).to_string(), 6881});
    engine::node leecher{seen, world.executor(), settings};
    CHECK(leecher.listen({{}, 6881}));
    auto const find = [&]() -> net::task<void> {
        metainfo::magnet link;
        link.info_hash_v1.emplace().bytes.fill(std::byte{7});
        (void)co_await net::with_deadline(inner.clock, inner.clock.now() + 5min, leecher.find(link, {}));
    };
    CHECK(world.run_to_end(find(), 10min));
    CHECK(world.run_to_end(leecher.stop(), 10s));
    for (auto const& each : sockets) each->close();
    world.run_for(1s);  // who reads from them has ended
    return network.tried;
}
}  // namespace

TEST_CASE("a search for a magnet link that hears of forty peers at one address tries two", "[engine][magnet]") {
    auto const victim = ip_address::v4({203, 0, 113, 5});
    std::vector<endpoint> told;
    for (std::uint16_t i = 0; i < 40; ++i) told.push_back({victim, static_cast<std::uint16_t>(2000 + i)});
    endpoint const other{ip_address::v4({203, 0, 113, 6}), 2000};
    told.push_back(other);
    auto const tried = tried_when_told_of(told);
    CHECK(std::ranges::count(tried, victim, &endpoint::address) == std::ptrdiff_t{engine::hearsay_per_address_max});
    CHECK(tried.contains(other));
}

TEST_CASE("a search for a magnet link connects to nobody's mail server on hearsay", "[engine][magnet]") {
    auto const at = [](char const* text) { return *endpoint::parse(text); };
    auto const peer = at("203.0.113.7:1024");
    CHECK(tried_when_told_of({at("203.0.113.5:25"), at("203.0.113.6:1023"), peer}) == std::set{peer});
}
