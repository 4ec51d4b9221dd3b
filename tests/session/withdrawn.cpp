#include <catch2/catch.hpp>
#include <chrono>
#include <memory>
#include <variant>
#include <vector>

#include "played.hpp"

using namespace shoal;
using namespace shoal::session;
using namespace values;
using namespace played_client;
using namespace std::chrono_literals;

TEST_CASE("what was left or withdrawn before it was told is not told", "[session]") {
    played p;
    p.open();
    REQUIRE(p.client.join(hash_of('a'), 1000, pieces_of(4, {}), {}));
    p.client.leave(hash_of('a'), true);
    REQUIRE(p.client.publish(hash_of('b'), std::make_shared<byte_vector const>(100)));
    p.client.unpublish(hash_of('b'));
    for (auto const& each : p.said()) {
        CHECK_FALSE(std::holds_alternative<join>(each));
        CHECK_FALSE(std::holds_alternative<publish>(each));
    }
}

TEST_CASE("pieces that come and go for ever are told anew as a whole, and kept in bounded memory", "[session]") {
    played p;
    p.open();
    REQUIRE(p.client.join(hash_of('a'), 1000, pieces_of(8, {0}), {}));
    (void)p.only<join>();
    for (int i = 0; i < 100; ++i) {
        p.client.gained(hash_of('a'), piece_index{3});
        p.client.lost(hash_of('a'), piece_index{3});
    }
    p.client.gained(hash_of('a'), piece_index{5});
    CHECK(p.only<join>().have == pieces_of(8, {0, 5}));
    p.now += 1s;
    p.client.gained(hash_of('a'), piece_index{6});
    CHECK(p.only<status>().gained == pieces({6}));
}

TEST_CASE("what was lost is told before what was gained, so that nobody seems complete who never was", "[session]") {
    played p;
    p.open();
    REQUIRE(p.client.join(hash_of('a'), 1000, pieces_of(8, {1, 2, 3, 4, 5, 6, 7}), {}));
    (void)p.only<join>();
    auto const have = pieces_of(8, {0, 1, 2, 3, 4, 5});
    p.client.has_now(hash_of('a'), have);
    p.client.ask_status(hash_of('a'));
    auto const all = p.said();
    REQUIRE(all.size() == 2);
    CHECK(std::get<status>(all[0]).lost == pieces({6, 7}));
    CHECK(std::get<status>(all[0]).gained.empty());
    CHECK(std::get<status>(all[1]).gained == pieces({0}));
    p.client.has_now(hash_of('a'), have);
    p.now += 1h;
    CHECK(p.said().empty());
}

TEST_CASE("the peer set is asked for once the session is there, and not before", "[session]") {
    played p;
    REQUIRE(p.client.join(hash_of('a'), 1000, pieces_of(4, {}), {}));
    p.client.ask_peers(hash_of('a'));
    p.open();
    (void)p.only<join>();
    p.client.ask_peers(hash_of('a'));
    CHECK(p.only<ask_peers>().torrent == hash_of('a'));
}

TEST_CASE("what was published or withdrawn is said again until the hub has answered, also where it resumes",
          "[session]") {
    played p;
    p.open();
    auto const torrent = std::make_shared<byte_vector const>(100);
    REQUIRE(p.client.join(hash_of('a'), 1000, pieces_of(4, {}), {}));
    (void)p.only<join>();
    REQUIRE(p.hears(done{request::join, hash_of('a')}));
    auto const come_back = [&p] {
        p.lose();
        p.now = p.client.deadline();
        p.open({{hash_of('a'), 0}});
        auto all = p.said();
        std::erase_if(all, [](auto const& each) {
            return std::holds_alternative<status>(each) || std::holds_alternative<ask_peers>(each);
        });
        return all;
    };
    REQUIRE(p.client.publish(hash_of('a'), torrent));
    (void)p.only<publish>();
    auto const again = come_back();
    REQUIRE(again.size() == 1);
    CHECK(std::get<publish>(again[0]).torrent == hash_of('a'));
    REQUIRE(p.hears(done{request::publish, hash_of('a')}));
    CHECK(come_back().empty());

    p.client.unpublish(hash_of('a'));
    (void)p.only<unpublish>();
    auto const withdrawn = come_back();
    REQUIRE(withdrawn.size() == 1);
    CHECK(std::get<unpublish>(withdrawn[0]).torrent == hash_of('a'));
    REQUIRE(p.hears(done{request::unpublish, hash_of('a')}));
    CHECK(come_back().empty());
}

TEST_CASE("what is withdrawn while there is no session is told when there is one", "[session]") {
    played p;
    p.open();
    REQUIRE(p.client.publish(hash_of('a'), std::make_shared<byte_vector const>(100)));
    (void)p.only<publish>();
    REQUIRE(p.hears(done{request::publish, hash_of('a')}));
    p.lose();
    p.client.unpublish(hash_of('a'));
    p.now = p.client.deadline();
    p.open();
    CHECK(p.only<unpublish>().torrent == hash_of('a'));
}

TEST_CASE("what an earlier client of the node published can be withdrawn", "[session]") {
    played p;
    p.open();
    p.client.unpublish(hash_of('a'));
    CHECK(p.only<unpublish>().torrent == hash_of('a'));
    p.lose();
    p.now = p.client.deadline();
    p.open();
    CHECK(p.only<unpublish>().torrent == hash_of('a'));
    REQUIRE(p.hears(done{request::unpublish, hash_of('a')}));
    p.lose();
    p.now = p.client.deadline();
    p.open();
    CHECK(p.said().empty());
}

TEST_CASE("a join that was lost with the connection is said again, though the hub knows of an earlier one",
          "[session]") {
    played p;
    p.open();
    REQUIRE(p.client.join(hash_of('a'), 1000, pieces_of(4, {}), {}));
    (void)p.only<join>();
    REQUIRE(p.hears(done{request::join, hash_of('a')}));
    p.client.leave(hash_of('a'), false);
    REQUIRE(p.client.join(hash_of('a'), 1000, pieces_of(4, {0, 1}), {}));
    (void)p.said();
    p.lose();
    p.now = p.client.deadline();
    p.open({{hash_of('a'), 0}});  // it has not heard of the leaving
    CHECK(p.only<join>().have == pieces_of(4, {0, 1}));
}
