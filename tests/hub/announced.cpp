#include <catch2/catch.hpp>
#include <cstdint>
#include <string>

#include "table.hpp"
using namespace hub_table;

// Peers that announce and have no session.

TEST_CASE("ordinary clients stand in the same peer set with what an announce tells", "[hub]") {
    table hub;
    announce::announce_request announced;
    announced.torrent = torrent;
    announced.peer = *peer_id::from(as_bytes("-TR3000-abcdefghijkl"));
    announced.uploaded = 100;
    announced.left = 0;
    hub.nodes.announced(announced, at("192.0.2.7:51413"), hub.now);
    auto peer = hub.call("192.0.2.1:5000", 'a', 6881);
    hub.say(peer, session::join{torrent, 100, pieces_of(9), 0, 0});
    auto const set = table::of<session::peer_set>(peer).at(0);
    REQUIRE(set.peers.size() == 1);
    CHECK(set.peers[0].at == at("192.0.2.7:51413"));
    CHECK(set.peers[0].client == "Transmission 3.0");
    CHECK(set.peers[0].is_complete);
    CHECK_FALSE(set.peers[0].is_session);
    CHECK_FALSE(set.peers[0].have);

    hub.pass(10s);
    announced.uploaded = 1100;
    hub.nodes.announced(announced, at("192.0.2.7:51413"), hub.now);
    CHECK(hub.nodes.torrents().at(torrent).members.begin()->second.up_rate == 100);

    announced.what = announce::event::stopped;
    hub.nodes.announced(announced, at("192.0.2.7:51413"), hub.now);
    CHECK(hub.nodes.announced_count() == 0);
}

TEST_CASE("who announces and then falls silent is forgotten", "[hub]") {
    table hub{{.announced_lifetime = 60s}};
    announce::announce_request announced;
    announced.torrent = torrent;
    hub.nodes.announced(announced, at("192.0.2.7:51413"), hub.now);
    hub.pass(59s);
    CHECK(hub.nodes.announced_count() == 1);
    hub.pass(5s);
    CHECK(hub.nodes.announced_count() == 0);
    CHECK(hub.nodes.torrents().empty());
}

TEST_CASE("a flood of announces is shown up to the limit only", "[hub]") {
    table hub{{.announced_max = 10}};
    announce::announce_request announced;
    announced.torrent = torrent;
    for (std::uint16_t port = 1; port <= 100; ++port)
        hub.nodes.announced(announced, {*ip_address::parse("192.0.2.7"), port}, hub.now);
    CHECK(hub.nodes.announced_count() == 10);
}

TEST_CASE("a flood of torrents from a few peers is shown up to the limit only", "[hub]") {
    table hub{{.announced_max = 10}};
    announce::announce_request announced;
    for (char letter = 'a'; letter <= 'z'; ++letter) {
        announced.torrent = *info_hash::from(as_bytes(std::string(20, letter)));
        hub.nodes.announced(announced, at("192.0.2.7:1"), hub.now);
    }
    CHECK(hub.nodes.torrents().size() == 10);
    announced.what = announce::event::stopped;
    announced.torrent = *info_hash::from(as_bytes(std::string(20, 'a')));
    hub.nodes.announced(announced, at("192.0.2.7:1"), hub.now);
    announced.what = announce::event::none;
    announced.torrent = *info_hash::from(as_bytes(std::string(20, 'z')));
    hub.nodes.announced(announced, at("192.0.2.7:1"), hub.now);
    CHECK(hub.nodes.torrents().size() == 10);
    CHECK(hub.nodes.torrents().contains(announced.torrent));
}

TEST_CASE("more who announce than one look takes are forgotten all the same, and what they moved with them", "[hub]") {
    constexpr std::uint16_t count = 12'000;
    table hub{{.announced_lifetime = 60s}};
    announce::announce_request announced;
    announced.torrent = torrent;
    announced.uploaded = 1000;
    for (std::uint16_t port = 1; port <= count; ++port)
        hub.nodes.announced(announced, {*ip_address::parse("192.0.2.7"), port}, hub.now);
    hub.pass(10s);
    announced.uploaded = 2000;
    hub.nodes.announced(announced, at("192.0.2.7:1"), hub.now);
    CHECK(hub.nodes.all_traffic().served == 1000 * (count + 1));
    CHECK(hub.nodes.all_traffic().up_rate == 100);
    hub.pass(50s);
    hub.nodes.announced(announced, at("192.0.2.7:1"), hub.now);
    hub.pass(1s);
    CHECK(hub.nodes.announced_count() > count / 2);
    for (int i = 0; i < 30; ++i) hub.pass(1s);
    CHECK(hub.nodes.announced_count() == 1);
    CHECK(hub.nodes.all_traffic().served == 2000);
    hub.pass(60s);
    CHECK(hub.nodes.announced_count() == 0);
    CHECK(hub.nodes.all_traffic().served == 0);
    CHECK(hub.nodes.all_traffic().up_rate == 0);
}

TEST_CASE("a liar about what he moved does not spoil the sum", "[hub]") {
    table hub;
    announce::announce_request announced;
    announced.torrent = torrent;
    announced.uploaded = UINT64_MAX;
    hub.nodes.announced(announced, at("192.0.2.7:1"), hub.now);
    CHECK(hub.nodes.all_traffic().served == (std::uint64_t{1} << 43) - 1);
    announced.uploaded = 7;
    hub.nodes.announced(announced, at("192.0.2.7:1"), hub.now);
    CHECK(hub.nodes.all_traffic().served == 7);
}
