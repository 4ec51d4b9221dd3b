#include <algorithm>
#include <catch2/catch.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "played.hpp"

using namespace shoal;
using namespace shoal::session;
using namespace values;
using namespace played_client;
using namespace std::chrono_literals;

TEST_CASE("a client says hello first, and joins when it is welcome", "[session]") {
    played p;
    REQUIRE(p.client.join(hash_of('a'), 1000, pieces_of(4, {1}), {.uploaded = 5, .downloaded = 6}));
    REQUIRE(p.client.wants_connection(p.now));
    p.client.opening();
    CHECK_FALSE(p.client.wants_connection(p.now));
    CHECK(p.client.deadline() == time_point::max());  // the driver waits for the connection, not we
    CHECK(p.said().empty());
    p.client.connected(p.now);
    auto const first = p.only<hello>();
    CHECK(first.port == 7000);
    CHECK(first.client == "Shoal");
    CHECK_FALSE(first.resume);
    CHECK_FALSE(p.client.is_open());
    welcome back;
    back.seen_as = *ip_address::parse("192.0.2.7");
    REQUIRE(p.hears(back));
    CHECK(p.client.is_open());
    REQUIRE(p.all<client_event::welcomed>().size() == 1);
    CHECK(p.all<client_event::welcomed>()[0].seen_as == back.seen_as);
    auto const joins = p.only<join>();
    CHECK(joins == join{hash_of('a'), 1000, pieces_of(4, {1}), 5, 6});
}

TEST_CASE("status tells changes only, no more often than the hub wants", "[session]") {
    played p;
    p.open();
    REQUIRE(p.client.join(hash_of('a'), 1000, pieces_of(8, {0}), {}));
    (void)p.only<join>();
    CHECK(p.client.deadline() == time_point::max());
    p.client.gained(hash_of('a'), piece_index{3});
    p.client.gained(hash_of('a'), piece_index{3});
    auto const first = p.only<status>();  // at once after the join
    CHECK(first.gained == pieces({3}));
    CHECK(first.number == 1);
    CHECK_FALSE(first.is_asked);
    p.client.gained(hash_of('a'), piece_index{5});
    p.client.update(hash_of('a'), {.uploaded = 10, .downloaded = 20}, {});
    CHECK(p.said().empty());
    CHECK(p.client.deadline() == p.now + 1s);
    p.now += 1s;
    auto const second = p.only<status>();
    CHECK(second.gained == pieces({5}));
    CHECK(second.number == 2);
    CHECK(second.uploaded == 10);
    CHECK(second.downloaded == 20);
    p.now += 1h;
    CHECK(p.said().empty());
}

TEST_CASE("status goes out at once when a person asks, and when all is there", "[session]") {
    played p;
    p.open();
    REQUIRE(p.client.join(hash_of('a'), 1000, pieces_of(2, {}), {}));
    p.client.gained(hash_of('a'), piece_index{0});
    (void)p.said();
    p.client.ask_status(hash_of('a'));
    CHECK(p.only<status>().is_asked);
    p.client.gained(hash_of('a'), piece_index{1});
    CHECK(p.only<status>().gained == pieces({1}));
    REQUIRE(p.hears(done{request::status, hash_of('a')}));
    REQUIRE(p.all<client_event::answered>().size() == 1);
    CHECK(p.all<client_event::answered>()[0].what == request::status);
}

TEST_CASE("gains and losses keep their order, and a long row takes several messages", "[session]") {
    played p;
    p.open();
    REQUIRE(p.client.join(hash_of('a'), 1 << 30, pieces_of(40'000, {}), {}));
    (void)p.said();
    for (std::uint32_t i = 0; i < changes_max + 1; ++i) p.client.gained(hash_of('a'), piece_index{i});
    p.client.lost(hash_of('a'), piece_index{7});
    p.client.gained(hash_of('a'), piece_index{7});
    p.client.ask_status(hash_of('a'));
    auto const all = p.said();
    REQUIRE(all.size() == 4);
    std::vector<status> told;
    for (auto const& each : all) told.push_back(std::get<status>(each));
    CHECK(told[0].gained.size() == changes_max);
    CHECK(told[0].number == changes_max);
    CHECK_FALSE(told[0].is_asked);
    CHECK(told[1].gained.size() == 1);
    CHECK(told[2].lost == pieces({7}));
    CHECK(told[3].gained == pieces({7}));
    CHECK(told[3].number == changes_max + 3);
    CHECK(told[3].is_asked);
}

TEST_CASE("whom it serves is told when that changes", "[session]") {
    played p;
    p.open();
    REQUIRE(p.client.join(hash_of('a'), 1000, pieces_of(8, {0}), {}));
    (void)p.said();
    std::vector const serving{served{at("192.0.2.1:1"), 5, 6}};
    p.client.update(hash_of('a'), {.uploaded = 5}, serving);
    auto const first = p.only<status>();
    REQUIRE(first.serving);
    CHECK(*first.serving == serving);
    p.now += 2s;
    p.client.update(hash_of('a'), {.uploaded = 6}, serving);
    CHECK_FALSE(p.only<status>().serving);
    p.now += 2s;
    p.client.update(hash_of('a'), {.uploaded = 6}, std::vector<served>(served_max + 1));
    CHECK(p.only<status>().serving->size() == served_max);
}

TEST_CASE("a lost session comes back with its token, later each time, within a random factor", "[session]") {
    played p{GENERATE(1u, 2u, 77u)};
    p.open();
    p.lose();
    CHECK(p.all<client_event::lost>().size() == 1);
    std::chrono::milliseconds base = 1s;
    for (int i = 0; i < 9; ++i) {
        auto const wait = p.client.deadline() - p.now;
        CHECK(wait >= base / 2);
        CHECK(wait <= base * 3 / 2);
        CHECK_FALSE(p.client.wants_connection(p.now));
        p.now = p.client.deadline();
        REQUIRE(p.client.wants_connection(p.now));
        p.client.opening();
        p.lose();
        base = std::min<std::chrono::milliseconds>(2 * base, 60s);
    }
    p.now = p.client.deadline();
    p.client.opening();
    p.client.connected(p.now);
    CHECK(p.only<hello>().resume == some_token());
    REQUIRE(p.hears(welcome{}));
    p.lose();
    CHECK(p.client.deadline() - p.now <= 1500ms);  // it begins anew
}

TEST_CASE("a resumed session tells what the hub has not heard, and nothing else", "[session]") {
    played p;
    p.open();
    REQUIRE(p.client.join(hash_of('a'), 1000, pieces_of(8, {0}), {}));
    REQUIRE(p.client.join(hash_of('b'), 1000, pieces_of(8, {0}), {}));
    (void)p.said();
    for (auto const each : {'a', 'b'}) REQUIRE(p.hears(done{request::join, hash_of(each)}));
    for (auto const each : {1u, 2u, 3u}) p.client.gained(hash_of('a'), piece_index{each});
    (void)p.said();
    p.lose();
    p.client.gained(hash_of('a'), piece_index{4});
    p.now = p.client.deadline();
    p.open({{hash_of('a'), 2}, {hash_of('x'), 0}});
    CHECK(p.all<client_event::welcomed>().back().is_resumed);
    auto const all = p.said();
    std::vector<piece_index> told;
    bool joined_b = false, left_x = false, asked_peers = false;
    for (auto const& each : all) {
        if (auto const* one = std::get_if<status>(&each); one && one->torrent == hash_of('a')) {
            told = one->gained;
            CHECK(one->number == 4);
        }
        if (auto const* one = std::get_if<join>(&each)) {
            CHECK(one->torrent == hash_of('b'));
            joined_b = true;
        }
        if (auto const* one = std::get_if<leave>(&each)) left_x = one->torrent == hash_of('x');
        if (auto const* one = std::get_if<ask_peers>(&each)) asked_peers = one->torrent == hash_of('a');
    }
    CHECK(told == pieces({3, 4}));
    CHECK(joined_b);
    CHECK(left_x);
    CHECK(asked_peers);
}

TEST_CASE("a hub that has forgotten is told all anew, publications too", "[session]") {
    played p;
    p.open();
    auto const torrent = std::make_shared<byte_vector const>(100, std::byte{1});
    REQUIRE(p.client.join(hash_of('a'), 1000, pieces_of(8, {0}), {}));
    REQUIRE(p.client.publish(hash_of('a'), torrent));
    p.client.gained(hash_of('a'), piece_index{1});
    (void)p.said();
    p.lose();
    p.now = p.client.deadline();
    p.open();
    auto const all = p.said();
    REQUIRE(all.size() == 2);
    CHECK(std::get<join>(all[0]).have == pieces_of(8, {0, 1}));
    CHECK(std::get<publish>(all[1]).metainfo == *torrent);
    p.client.unpublish(hash_of('a'));
    CHECK(p.only<unpublish>().torrent == hash_of('a'));
    auto const large = std::make_shared<byte_vector const>(metainfo_max + 1);
    CHECK_FALSE(p.client.publish(hash_of('a'), large));
}

TEST_CASE("the peer set follows what the hub tells", "[session]") {
    played p;
    p.open();
    REQUIRE(p.client.join(hash_of('a'), 1000, pieces_of(4, {}), {}));
    set_member one, other;
    one.at = at("192.0.2.1:1");
    one.have = pieces_of(4, {0});
    one.uploaded = 7;
    other.at = at("192.0.2.2:2");
    REQUIRE(p.hears(peer_set{hash_of('a'), true, {one, other}, {}}));
    CHECK(p.client.peers(hash_of('a')).size() == 2);
    CHECK(p.client.peers(hash_of('a')).at(one.at).uploaded == 7);
    REQUIRE(p.all<client_event::answered>().size() == 1);
    CHECK(p.all<client_event::answered>()[0].what == request::peers);
    set_member change;
    change.at = one.at;
    change.gained = pieces({2, 9});
    change.uploaded = 8;
    REQUIRE(p.hears(peer_set{hash_of('a'), false, {change}, {other.at}}));
    auto const& now = p.client.peers(hash_of('a'));
    REQUIRE(now.size() == 1);
    CHECK(now.at(one.at).uploaded == 8);
    CHECK(now.at(one.at).have == pieces_of(4, {0, 2}));
    p.lose();
    CHECK(p.client.peers(hash_of('a')).size() == 1);  // kept until it is told anew
    CHECK(p.client.peers(hash_of('z')).empty());
}

TEST_CASE("a bitfield of another size is not believed", "[session]") {
    played p;
    p.open();
    REQUIRE(p.client.join(hash_of('a'), 1000, pieces_of(4, {}), {}));
    set_member odd;
    odd.at = at("192.0.2.1:1");
    odd.have = pieces_of(5, {4});
    REQUIRE(p.hears(peer_set{hash_of('a'), true, {odd}, {}}));
    CHECK_FALSE(p.client.peers(hash_of('a')).at(odd.at).have);
}

TEST_CASE("who waits in line is told its place, and is welcome later", "[session]") {
    played p;
    REQUIRE(p.client.join(hash_of('a'), 1000, pieces_of(4, {}), {}));
    p.client.opening();
    p.client.connected(p.now);
    (void)p.said();
    REQUIRE(p.hears(session::wait{10s, 3}));
    REQUIRE(p.hears(session::wait{5s, 1}));
    CHECK(p.all<client_event::waiting>().back().place == 1);
    CHECK(p.said().empty());
    CHECK(p.client.deadline() == time_point::max());
    REQUIRE(p.hears(welcome{}));
    CHECK(p.only<join>().torrent == hash_of('a'));
}

TEST_CASE("who is refused at the door comes again much later", "[session]") {
    played p;
    p.client.opening();
    p.client.connected(p.now);
    (void)p.said();
    REQUIRE(p.hears(refused{request::hello, {}, "not you"}));
    REQUIRE(p.all<client_event::refused>().size() == 1);
    CHECK(p.all<client_event::refused>()[0].reason == "not you");
    p.lose();
    CHECK(p.client.deadline() - p.now >= 30s);
}

TEST_CASE("a hub that breaks the protocol or never answers is left", "[session]") {
    played p;
    p.client.opening();
    p.client.connected(p.now);
    (void)p.said();
    CHECK_FALSE(p.hears(done{request::join, hash_of('a')}));
    CHECK(p.client.received(as_bytes("d1:t7:unknowne"), p.now));
    CHECK_FALSE(p.client.received(as_bytes("nonsense"), p.now));
    CHECK(p.client.wake(p.now + hello_timeout - 1ms));
    CHECK_FALSE(p.client.wake(p.now + hello_timeout));
    CHECK(p.client.deadline() == p.now + hello_timeout);
    p.lose();
    p.now = p.client.deadline();
    p.open();
    CHECK_FALSE(p.hears(welcome{}));
}

TEST_CASE("leaving is told once, and what comes of that torrent later is nothing", "[session]") {
    played p;
    p.open();
    REQUIRE(p.client.join(hash_of('a'), 1000, pieces_of(4, {}), {}));
    (void)p.said();
    p.client.leave(hash_of('a'), true);
    p.client.leave(hash_of('a'), true);
    CHECK(p.only<leave>() == leave{hash_of('a'), true});
    CHECK_FALSE(p.client.has_joined(hash_of('a')));
    REQUIRE(p.hears(peer_set{hash_of('a'), true, {}, {}}));
    CHECK(p.all<client_event::set_changed>().empty());
}

TEST_CASE("a hub cannot make a client talk without end", "[session]") {
    played p;
    p.client.opening();
    p.client.connected(p.now);
    (void)p.said();
    welcome hasty;
    hasty.every = 0ms;
    REQUIRE(p.hears(hasty));
    REQUIRE(p.client.join(hash_of('a'), 1000, pieces_of(4, {}), {}));
    p.client.update(hash_of('a'), {.uploaded = 1}, {});
    (void)p.said();
    p.client.update(hash_of('a'), {.uploaded = 2}, {});
    (void)p.only<status>();
    p.client.update(hash_of('a'), {.uploaded = 3}, {});
    CHECK(p.said().empty());
    CHECK(p.client.deadline() - p.now == every_min);
}
