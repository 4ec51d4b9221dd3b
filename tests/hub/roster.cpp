#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "table.hpp"
using namespace hub_table;

TEST_CASE("a peer that joins is sent the peers that are there, and they are told of it", "[hub]") {
    table hub;
    auto first = hub.call("192.0.2.1:5000", 'a', 6881);
    REQUIRE(table::of<session::welcome>(first).size() == 1);
    hub.say(first, session::join{torrent, 100, pieces_of(9, {0, 8}), 5, 6});
    CHECK(table::of<session::peer_set>(first).at(0).peers.empty());

    auto second = hub.call("192.0.2.2:5000", 'b', 6882);
    hub.say(second, session::join{torrent, 100, pieces_of(9), 0, 0});
    auto const set = table::of<session::peer_set>(second).at(0);
    CHECK(set.is_whole);
    REQUIRE(set.peers.size() == 1);
    CHECK(set.peers[0].at == at("192.0.2.1:6881"));
    CHECK(set.peers[0].have == pieces_of(9, {0, 8}));
    CHECK(set.peers[0].uploaded == 5);

    hub.pass(1s);
    hub.listen(first);
    auto const changes = table::of<session::peer_set>(first);
    REQUIRE(changes.size() == 2);
    CHECK_FALSE(changes[1].is_whole);
    CHECK(std::ranges::any_of(changes[1].peers, [](auto const& each) { return each.at == at("192.0.2.2:6882"); }));
}

TEST_CASE("what a peer gains is told to the others as a change", "[hub]") {
    table hub;
    auto giver = hub.call("192.0.2.1:5000", 'a', 6881);
    auto taker = hub.call("192.0.2.2:5000", 'b', 6882);
    hub.say(giver, session::join{torrent, 100, pieces_of(9, {0}), 0, 0});
    hub.say(taker, session::join{torrent, 100, pieces_of(9), 0, 0});
    hub.pass(1s);
    hub.listen(giver);
    giver.heard.clear();

    session::status said;
    said.torrent = torrent;
    said.number = 2;
    said.gained = {piece_index{3}, piece_index{4}};
    said.downloaded = 1000;
    said.is_asked = true;
    hub.say(taker, said);
    CHECK(table::of<session::done>(taker).back().what == session::request::status);
    hub.pass(1s);
    hub.listen(giver);
    auto const changes = table::of<session::peer_set>(giver);
    REQUIRE(changes.size() == 1);
    REQUIRE(changes[0].peers.size() == 1);
    CHECK_FALSE(changes[0].peers[0].have);
    CHECK(changes[0].peers[0].gained == said.gained);
    CHECK(changes[0].peers[0].downloaded == 1000);
}

TEST_CASE("who leaves or is lost disappears from the peer set at once", "[hub]") {
    table hub;
    auto stays = hub.call("192.0.2.1:5000", 'a', 6881);
    auto leaves = hub.call("192.0.2.2:5000", 'b', 6882);
    auto lost = hub.call("192.0.2.3:5000", 'c', 6883);
    for (auto* each : {&stays, &leaves, &lost}) hub.say(*each, session::join{torrent, 100, pieces_of(9), 0, 0});
    hub.pass(1s);
    hub.listen(stays);
    stays.heard.clear();
    hub.say(leaves, session::leave{torrent, true});
    hub.nodes.disconnected(lost.number, hub.now);
    CHECK(hub.nodes.torrents().at(torrent).members.size() == 1);
    CHECK(hub.nodes.session_count() == 2);
    hub.pass(1s);
    hub.listen(stays);
    auto const gone = table::of<session::peer_set>(stays).at(0).gone;
    CHECK(gone.size() == 2);
}

TEST_CASE("what sessions say they moved is in the sum as long as they are there", "[hub]") {
    table hub;
    auto const sum = [&] {
        auto const& all = hub.nodes.all_traffic();
        return std::array{all.served, all.up_rate, all.down_rate};
    };
    using sums = std::array<std::uint64_t, 3>;
    auto first = hub.call("192.0.2.1:5000", 'a', 6881);
    auto second = hub.call("192.0.2.2:5000", 'b', 6882);
    hub.say(first, session::join{torrent, 100, pieces_of(9), 5, 6});
    hub.say(second, session::join{torrent, 100, pieces_of(9), 70, 0});
    CHECK(sum() == sums{75, 0, 0});
    session::status said;
    said.torrent = torrent;
    said.uploaded = 500;
    said.up_rate = 11;
    said.down_rate = 12;
    said.number = 1;
    hub.say(first, said);
    CHECK(sum() == sums{570, 11, 12});
    hub.say(second, session::leave{torrent, true});
    CHECK(sum() == sums{500, 11, 12});
    auto const welcome = table::of<session::welcome>(first).at(0);
    hub.nodes.disconnected(first.number, hub.now);
    CHECK(sum() == sums{0, 0, 0});
    auto const again = hub.call("192.0.2.1:5001", 'a', 6881, welcome.resume);
    CHECK(sum() == sums{500, 11, 12});
    hub.nodes.disconnected(again.number, hub.now);
    CHECK(sum() == sums{0, 0, 0});
}

TEST_CASE("a lost session is taken up again without telling all anew", "[hub]") {
    table hub;
    auto peer = hub.call("192.0.2.1:5000", 'a', 6881);
    hub.say(peer, session::join{torrent, 100, pieces_of(9, {1}), 0, 0});
    session::status said;
    said.torrent = torrent;
    said.number = 1;
    said.gained = {piece_index{2}};
    hub.say(peer, said);
    auto const proof = table::of<session::welcome>(peer).at(0).resume;
    hub.nodes.disconnected(peer.number, hub.now);
    hub.pass(10s);

    auto thief = hub.call("192.0.2.9:5000", 'x', 6881, proof);
    CHECK(table::of<session::welcome>(thief).at(0).torrents.empty());

    auto other = hub.call("192.0.2.2:5000", 'b', 6882);
    hub.say(other, session::join{torrent, 100, pieces_of(9, {1}), 0, 0});
    auto const proof_of_other = table::of<session::welcome>(other).at(0).resume;
    hub.nodes.disconnected(other.number, hub.now);
    hub.pass(10s);
    auto back = hub.call("192.0.2.2:5001", 'b', 6882, proof_of_other);
    auto const known = table::of<session::welcome>(back).at(0).torrents;
    REQUIRE(known.size() == 1);
    CHECK(known[0].torrent == torrent);
    CHECK(hub.nodes.torrents().at(torrent).members.begin()->second.have == pieces_of(9, {1}));

    hub.nodes.disconnected(back.number, hub.now);
    hub.pass(5min);
    auto late = hub.call("192.0.2.2:5002", 'b', 6882, table::of<session::welcome>(back).at(0).resume);
    CHECK(table::of<session::welcome>(late).at(0).torrents.empty());
}

TEST_CASE("whose last piece was counted is not counted again after the session broke", "[hub]") {
    table hub;
    // For the registry, and for the catalogue, which counts what the log says.
    auto const completions = [&] {
        auto const told = std::ranges::count_if(hub.nodes.take_presences(), &hub::presence::has_completed);
        auto const logged = std::ranges::count(hub.nodes.take_happenings(), "completed", &hub::happening::kind);
        CHECK(told == logged);
        return told;
    };
    session::status got, lost;
    got.torrent = lost.torrent = torrent;
    got.gained = lost.lost = {piece_index{1}};
    auto peer = hub.call("192.0.2.1:5000", 'a', 6881);
    hub.say(peer, session::join{torrent, 100, pieces_of(2, {0}), 0, 0});
    hub.say(peer, got);
    CHECK(completions() == 1);
    hub.nodes.disconnected(peer.number, hub.now);
    hub.pass(10s);
    CHECK(completions() == 0);
    auto back = hub.call("192.0.2.1:5001", 'a', 6881, table::of<session::welcome>(peer).at(0).resume);
    REQUIRE(table::of<session::welcome>(back).at(0).torrents.size() == 1);
    hub.say(back, lost);
    hub.say(back, got);
    CHECK(completions() == 0);
    hub.say(back, session::join{torrent, 100, pieces_of(2, {0}), 0, 0});
    hub.say(back, got);
    CHECK(completions() == 0);
}

TEST_CASE("a download that was counted by an announce is not counted again by the session of that node", "[hub]") {
    table hub;
    announce::announce_request said;
    said.torrent = torrent;
    said.left = 50;
    auto const where = at("192.0.2.1:6881");
    hub.nodes.announced(said, where, hub.now);
    said.left = 0;
    said.what = announce::event::completed;
    hub.nodes.announced(said, where, hub.now);
    auto const logged = [&] {
        return std::ranges::count(hub.nodes.take_happenings(), "completed", &hub::happening::kind);
    };
    CHECK(logged() == 1);
    session::status got;
    got.torrent = torrent;
    got.gained = {piece_index{1}};
    auto peer = hub.call("192.0.2.1:5000", 'a', 6881);
    hub.say(peer, session::join{torrent, 100, pieces_of(2, {0}), 0, 0});  // its disk has lost one meanwhile
    hub.say(peer, got);
    CHECK(logged() == 0);
    CHECK(std::ranges::none_of(hub.nodes.take_presences(), &hub::presence::has_completed));
}

TEST_CASE("who comes back before his old session was given up has not left in between", "[hub]") {
    table hub;
    auto peer = hub.call("192.0.2.1:5000", 'a', 6881);
    hub.say(peer, session::join{torrent, 100, pieces_of(2, {0}), 0, 0});
    (void)hub.nodes.take_presences();
    hub.call("192.0.2.1:5001", 'a', 6881, table::of<session::welcome>(peer).at(0).resume);
    auto const told = hub.nodes.take_presences();
    CHECK(std::ranges::none_of(told, &hub::presence::has_left));
    CHECK(told.size() == 1);
}

TEST_CASE("nodes over the limit wait in line and are let in one after the other", "[hub]") {
    table hub{{.sessions_max = 2, .waiting_max = 2}};
    auto first = hub.call("192.0.2.1:5000", 'a', 1);
    auto second = hub.call("192.0.2.2:5000", 'b', 2);
    auto third = hub.call("192.0.2.3:5000", 'c', 3);
    auto fourth = hub.call("192.0.2.4:5000", 'd', 4);
    table::caller fifth{hub.nodes.connected(at("192.0.2.5:5000"), hub.now), {}};
    CHECK(hub.is_ended(fifth, session::hello{}));
    CHECK(table::of<session::wait>(third).at(0).place == 1);
    CHECK(table::of<session::wait>(fourth).at(0).place == 2);
    CHECK(table::of<session::refused>(fifth).size() == 1);
    hub.nodes.disconnected(first.number, hub.now);
    hub.listen(third);
    hub.listen(fourth);
    CHECK(table::of<session::welcome>(third).size() == 1);
    CHECK(table::of<session::wait>(fourth).back().place == 1);
    hub.nodes.disconnected(fourth.number, hub.now);
    hub.nodes.disconnected(second.number, hub.now);
    CHECK(hub.nodes.session_count() == 1);
    CHECK(hub.nodes.waiting_count() == 0);
}

TEST_CASE("a hello comes first and once, and what is broken ends the session", "[hub]") {
    table hub;
    auto const silent = hub.nodes.connected(at("192.0.2.1:5000"), hub.now);
    CHECK_FALSE(
        hub.nodes.received(silent, session::encode(session::peer_message{session::ask_peers{torrent}}), hub.now));
    auto peer = hub.call("192.0.2.1:5000", 'a', 6881);
    CHECK_FALSE(hub.nodes.received(peer.number, session::encode(session::peer_message{session::hello{}}), hub.now));
    CHECK_FALSE(hub.nodes.received(peer.number, as_bytes("rubbish"), hub.now));
    CHECK(hub.nodes.received(peer.number, as_bytes("d1:t5:latere"), hub.now));
    hub.say(peer, session::join{torrent, 100, pieces_of(9), 0, 0});
    session::status beyond;
    beyond.torrent = torrent;
    beyond.gained = {piece_index{9}};
    CHECK_FALSE(hub.nodes.received(peer.number, session::encode(session::peer_message{beyond}), hub.now));
}

TEST_CASE("more messages a second than a peer needs end its session", "[hub]") {
    table hub{{.messages_per_second = 10}};
    auto peer = hub.call("192.0.2.1:5000", 'a', 6881);
    auto const asks = session::encode(session::peer_message{session::ask_peers{torrent}});
    for (int i = 1; i < 10; ++i) {
        CHECK(hub.nodes.may_go_on_at(peer.number) <= hub.now);
        CHECK(hub.nodes.received(peer.number, asks, hub.now));
    }
    CHECK(hub.nodes.may_go_on_at(peer.number) == hub.now + 1s);
    CHECK_FALSE(hub.nodes.received(peer.number, asks, hub.now));
    hub.pass(2s);
    CHECK(hub.nodes.received(peer.number, asks, hub.now));
}

TEST_CASE("a peer that does not read is given up", "[hub]") {
    table hub{{.output_max = 10'000}};
    auto peer = hub.call("192.0.2.1:5000", 'a', 6881);
    hub.say(peer, session::join{torrent, 100, pieces_of(80'000), 0, 0});
    auto other = hub.call("192.0.2.2:5000", 'b', 6882);
    hub.say(other, session::join{torrent, 100, pieces_of(80'000), 0, 0});
    CHECK_FALSE(hub.nodes.overflowed(peer.number));
    for (int i = 0; i < 5; ++i)
        CHECK(hub.nodes.received(peer.number, session::encode(session::peer_message{session::ask_peers{torrent}}),
                                 hub.now));
    CHECK(hub.nodes.overflowed(peer.number));
}

TEST_CASE("the log tells of peers in the words of the specification", "[hub]") {
    table hub;
    auto peer = hub.call("192.0.2.1:5000", 'a', 7000);
    hub.say(peer, session::join{torrent, 100, pieces_of(9), 0, 0});
    session::status said;
    said.torrent = torrent;
    said.is_asked = true;
    hub.say(peer, said);
    hub.say(peer, session::leave{torrent, false});
    hub.say(peer, session::join{torrent, 100, pieces_of(9), 0, 0});
    hub.say(peer, session::leave{torrent, true});
    std::vector<std::string> lines;
    for (auto const& each : hub.nodes.take_happenings()) lines.push_back(each.text);
    for (auto const* line :
         {"[NEW CONNECTION] 192.0.2.1,7000 connected", "[ACTIVE CONNECTIONS] 1", "[PEER UPDATE] 192.0.2.1,7000",
          "[PEER DISCONNECTED TRACKER] 192.0.2.1,7000", "[PEER QUIT TORRENT] 192.0.2.1,7000"}) {
        INFO(line);
        CHECK(std::ranges::find(lines, line) != lines.end());
    }
}

TEST_CASE("nodes with a session are introduced to ordinary clients", "[hub]") {
    table hub;
    auto peer = hub.call("192.0.2.1:5000", 'a', 7000);
    hub.say(peer, session::join{torrent, 100, pieces_of(1), 0, 0});
    session::status said;
    said.torrent = torrent;
    said.gained = {piece_index{0}};
    hub.say(peer, said);
    hub.nodes.disconnected(peer.number, hub.now);
    auto const told = hub.nodes.take_presences();
    REQUIRE(told.size() == 3);
    CHECK(told[0].at == at("192.0.2.1:7000"));
    CHECK_FALSE(told[0].is_complete);
    CHECK(told[1].has_completed);
    CHECK(told[2].has_left);
}

TEST_CASE("who claims another number of pieces than the catalogue knows is refused", "[hub]") {
    table hub;
    auto liar = hub.call("192.0.2.1:5000", 'a', 7000);
    hub.say(liar, session::join{torrent, 100, pieces_of(3), 0, 0});
    hub.nodes.know(torrent, 9, 100);
    hub.listen(liar);
    CHECK(table::of<session::refused>(liar).size() == 1);
    CHECK(hub.nodes.torrents().empty());
}

TEST_CASE("who comes back with another number of pieces than the torrent has by now is told to join anew", "[hub]") {
    table hub;
    auto liar = hub.call("192.0.2.1:5000", 'a', 7000);
    hub.say(liar, session::join{torrent, 100, pieces_of(3, {2}), 0, 0});
    auto const proof = table::of<session::welcome>(liar).at(0).resume;
    hub.nodes.disconnected(liar.number, hub.now);
    auto honest = hub.call("192.0.2.2:5000", 'b', 7001);
    hub.say(honest, session::join{torrent, 100, pieces_of(9, {8}), 0, 0});
    auto back = hub.call("192.0.2.1:5001", 'a', 7000, proof);
    CHECK(table::of<session::welcome>(back).at(0).torrents.empty());
    CHECK(hub.nodes.torrents().at(torrent).members.size() == 1);
    hub.say(back, session::join{torrent, 100, pieces_of(3), 0, 0});
    CHECK(table::of<session::refused>(back).size() == 1);
}

TEST_CASE("who comes after the catalogue knows the torrent cannot claim another number of pieces", "[hub]") {
    table hub;
    hub.nodes.pieces_known = [](info_hash const& asked) { return asked == torrent ? 9u : 0u; };
    auto liar = hub.call("192.0.2.1:5000", 'a', 7000);
    hub.say(liar, session::join{torrent, 100, pieces_of(3), 0, 0});
    CHECK(table::of<session::refused>(liar).size() == 1);
    CHECK(hub.nodes.torrents().empty());
}

TEST_CASE("publications wait up to the limit, and are taken out one by one", "[hub]") {
    table hub;
    auto peer = hub.call("192.0.2.1:5000", 'a', 7000);
    for (std::size_t i = 0; i < 4; ++i) hub.say(peer, session::publish{torrent, byte_vector(session::metainfo_max)});
    CHECK(table::of<session::refused>(peer).empty());
    hub.say(peer, session::publish{torrent, byte_vector(1)});
    CHECK(table::of<session::refused>(peer).size() == 1);
    hub.say(peer, session::unpublish{torrent});
    CHECK(table::of<session::refused>(peer).size() == 1);
    CHECK(hub.nodes.take_publication());
    hub.say(peer, session::publish{torrent, byte_vector(1)});
    CHECK(table::of<session::refused>(peer).size() == 1);
}

TEST_CASE("a session that is replaced or lost is told to its writer", "[hub]") {
    table hub;
    auto old = hub.call("192.0.2.1:5000", 'a', 7000);
    (void)hub.nodes.take_ready();
    auto const again = hub.call("192.0.2.1:5001", 'a', 7000);
    auto const ready = hub.nodes.take_ready();
    CHECK(std::ranges::find(ready, old.number) != ready.end());
    CHECK(hub.nodes.overflowed(old.number));
    CHECK_FALSE(hub.nodes.overflowed(again.number));
}

TEST_CASE("clients are named by their peer id", "[hub]") {
    auto const name = [](std::string_view id) { return hub::client_of(*peer_id::from(as_bytes(id))); };
    CHECK(name("-qB4500-abcdefghijkl") == "qBittorrent 4.5");
    CHECK(name("-lt0D80-abcdefghijkl") == "libTorrent");
    CHECK(name("A2-1-36-0-abcdefghij") == "aria2");
    CHECK(name("-??1234-abcdefghijkl") == "unknown client");
    CHECK(name("abcdefghijklmnopqrst") == "unknown client");
}

namespace {
info_hash numbered(std::uint8_t number) {
    info_hash hash;
    hash.bytes.fill(static_cast<std::byte>(number));
    return hash;
}
/// What a member of that many pieces takes, as the roster counts it.
std::size_t bytes_of_a_member(std::uint32_t pieces) {
    table hub;
    auto peer = hub.call("192.0.2.1:5000", 'a', 1);
    hub.say(peer, session::join{torrent, 100, pieces_of(pieces), 0, 0});
    return hub.nodes.bytes();
}
}  // namespace

TEST_CASE("a session tells of as much as it has memory for, and no more", "[hub]") {
    auto const each = bytes_of_a_member(8000);
    CHECK(each > 1000);
    for (auto const& [limit, joins] : {std::pair{3 * each - 1, 2U}, {3 * each, 3U}, {3 * each + 1, 3U}}) {
        table hub{{.session_bytes_max = limit}};
        auto peer = hub.call("192.0.2.1:5000", 'a', 1);
        for (std::uint8_t i = 0; i < 4; ++i) hub.say(peer, session::join{numbered(i), 100, pieces_of(8000), 0, 0});
        CHECK(table::of<session::done>(peer).size() == joins);
        CHECK(table::of<session::refused>(peer).size() == 4 - joins);
        CHECK(hub.nodes.bytes() == joins * each);
        // The same torrent again takes nothing more.
        hub.say(peer, session::join{numbered(0), 100, pieces_of(8000), 0, 0});
        CHECK(hub.nodes.bytes() == joins * each);
        hub.say(peer, session::leave{numbered(0), false});
        hub.say(peer, session::join{numbered(9), 100, pieces_of(8000), 0, 0});
        CHECK(hub.nodes.bytes() == joins * each);
    }
}

TEST_CASE("all sessions together have a limit, and whoever was lost makes room first", "[hub]") {
    auto const each = bytes_of_a_member(8000);
    table hub{{.bytes_max = 2 * each}};
    auto lost = hub.call("192.0.2.1:5000", 'a', 1);
    auto stays = hub.call("192.0.2.2:5000", 'b', 2);
    auto late = hub.call("192.0.2.3:5000", 'c', 3);
    for (auto* peer : {&lost, &stays, &late}) hub.say(*peer, session::join{torrent, 100, pieces_of(8000), 0, 0});
    CHECK(table::of<session::refused>(late).size() == 1);
    hub.nodes.disconnected(lost.number, hub.now);
    CHECK(hub.nodes.bytes() == 2 * each);  // it may come back
    hub.say(late, session::join{torrent, 100, pieces_of(8000), 0, 0});
    CHECK(table::of<session::refused>(late).size() == 1);
    CHECK(hub.nodes.bytes() == 2 * each);
    auto back = hub.call("192.0.2.1:5001", 'a', 1, table::of<session::welcome>(lost).at(0).resume);
    CHECK(table::of<session::welcome>(back).at(0).torrents.empty());
    for (auto* peer : {&stays, &late, &back}) hub.nodes.disconnected(peer->number, hub.now);
    hub.pass(5min);
    CHECK(hub.nodes.bytes() == 0);
}

TEST_CASE("whom a node serves is shown as far as there is memory for it", "[hub]") {
    table hub{{.session_bytes_max = bytes_of_a_member(9) + 10 * sizeof(session::served)}};
    auto peer = hub.call("192.0.2.1:5000", 'a', 1);
    hub.say(peer, session::join{torrent, 100, pieces_of(9), 0, 0});
    auto const& shown = hub.nodes.torrents().at(torrent).members.begin()->second.serving;
    for (std::size_t const count : {10U, 11U, 2U}) {
        session::status said;
        said.torrent = torrent;
        said.serving.emplace();
        for (std::uint16_t i = 1; i <= count; ++i)
            said.serving->push_back({{*ip_address::parse("192.0.2.9"), i}, 1, 1});
        hub.say(peer, said);
        CHECK(shown.size() == (count <= 10 ? count : 0));
    }
}

TEST_CASE("a node that gains and loses the same pieces over and over takes no more memory for it", "[hub]") {
    table hub;
    auto peer = hub.call("192.0.2.1:5000", 'a', 1);
    hub.say(peer, session::join{torrent, 100, pieces_of(9), 0, 0});
    auto const& self = hub.nodes.torrents().at(torrent).members.begin()->second;
    session::status gains, loses;
    gains.torrent = loses.torrent = torrent;
    for (std::uint32_t i = 0; i < 9; ++i) gains.gained.push_back(piece_index{i});
    loses.lost = gains.gained;
    for (int i = 0; i < 3000; ++i) {
        if (i % 90 == 0) hub.now += 1s;  // as fast as it may, and no tick between
        hub.say(peer, gains);
        hub.say(peer, loses);
        REQUIRE(self.gained.size() <= session::changes_max);
    }
}

TEST_CASE("the registry hears again of a busy node before it would forget it", "[hub]") {
    table hub{{.announced_lifetime = 30min}};
    auto peer = hub.call("192.0.2.1:5000", 'a', 6881);
    hub.say(peer, session::join{torrent, 100, pieces_of(9), 0, 0});
    (void)hub.nodes.take_presences();
    std::size_t heard = 0;
    for (int minute = 0; minute < 60; ++minute) {
        session::status said;
        said.torrent = torrent;
        said.uploaded = static_cast<std::uint64_t>(minute);
        hub.say(peer, said);
        hub.pass(1min);
        heard += hub.nodes.take_presences().size();
    }
    CHECK(heard >= 5);
    CHECK(heard <= 7);
}

TEST_CASE("a node that comes again at its address takes no place of those in line", "[hub]") {
    table hub{{.sessions_max = 2}};
    auto first = hub.call("192.0.2.1:5000", 'a', 1);
    auto second = hub.call("192.0.2.2:5000", 'b', 2);
    auto third = hub.call("192.0.2.3:5000", 'c', 3);
    auto fourth = hub.call("192.0.2.2:5001", 'd', 2);  // another peer, where the second listens
    CHECK(hub.nodes.waiting_count() == 2);
    hub.nodes.disconnected(first.number, hub.now);
    CHECK(hub.nodes.session_count() == 2);
    hub.nodes.disconnected(third.number, hub.now);
    CHECK(hub.nodes.session_count() <= 2);
    hub.listen(fourth);
    CHECK(table::of<session::welcome>(fourth).size() == 1);
}

TEST_CASE("who waited in line takes up the session that it had lost", "[hub]") {
    table hub{{.sessions_max = 1}};
    auto lost = hub.call("192.0.2.1:5000", 'a', 1);
    hub.say(lost, session::join{torrent, 100, pieces_of(9, {1}), 0, 0});
    hub.nodes.disconnected(lost.number, hub.now);
    auto other = hub.call("192.0.2.2:5000", 'b', 2);
    auto back = hub.call("192.0.2.1:5001", 'a', 1, table::of<session::welcome>(lost).at(0).resume);
    CHECK(table::of<session::wait>(back).size() == 1);
    hub.nodes.disconnected(other.number, hub.now);
    hub.listen(back);
    CHECK(table::of<session::welcome>(back).at(0).torrents.size() == 1);
}
