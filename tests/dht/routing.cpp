#include <algorithm>
#include <catch2/catch.hpp>
#include <set>
#include <string>

#include "network.hpp"

namespace {
using namespace shoal;
using namespace std::chrono_literals;
using testing::at;
using testing::outside;

struct fixture {
    dht::keyed_random random{{1, 2}};
    time_point now{std::chrono::hours{1}};
    dht::node_id own{};
    dht::routing_table table{own};

    /// An id that shares `prefix` bits with ours, all zeros, and no more.
    dht::node_id id_with(std::size_t prefix) {
        auto id = random.id();
        for (std::size_t bit = 0; bit < prefix; ++bit) id.bytes[bit / 8] &= ~static_cast<std::byte>(0x80u >> (bit % 8));
        id.bytes[prefix / 8] |= static_cast<std::byte>(0x80u >> (prefix % 8));
        return id;
    }
    dht::contact tied(std::uint32_t number) {
        dht::contact who{random.id(), outside(number)};
        dht::tie_to(who.id, who.at.address);
        return who;
    }
};
bool holds(dht::routing_table const& table, endpoint const& where) {
    return std::ranges::any_of(table.all(), [&](auto const& each) { return each.at == where; });
}
}  // namespace

TEST_CASE_METHOD(fixture, "a bucket holds eight nodes, and a ninth waits until one of them goes bad", "[dht]") {
    std::vector<dht::contact> nodes;
    for (std::uint32_t i = 0; i < 9; ++i) nodes.push_back({id_with(0), at("10.0.0." + std::to_string(i + 1) + ":1")});
    for (auto const& each : nodes) table.answered(each, now);
    CHECK(table.size() == 8);
    CHECK_FALSE(holds(table, nodes[8].at));
    table.silent(nodes[3].at);
    CHECK(holds(table, nodes[3].at));  // once may be chance
    table.silent(nodes[3].at);
    CHECK_FALSE(holds(table, nodes[3].at));
    CHECK(holds(table, nodes[8].at));
}

TEST_CASE_METHOD(fixture, "nodes that do not answer stay while there is nobody to take their place", "[dht]") {
    table.answered({id_with(0), at("10.0.0.1:1")}, now);
    for (int i = 0; i < 5; ++i) table.silent(at("10.0.0.1:1"));
    CHECK(table.size() == 1);
    CHECK(table.nearest(own, 8, now).empty());            // and nobody is told of them
    table.answered({id_with(0), at("10.0.0.1:2")}, now);  // started again on another port
    CHECK(holds(table, at("10.0.0.1:2")));
    CHECK(table.size() == 1);
}

TEST_CASE_METHOD(fixture, "nobody takes a place by another's id or address", "[dht]") {
    dht::contact const honest{id_with(3), at("20.0.0.1:1")};
    table.answered(honest, now);
    table.answered({honest.id, at("30.0.0.1:1")}, now);
    table.answered({id_with(4), at("20.0.0.1:2")}, now);  // the same customer
    table.asked({honest.id, at("30.0.0.1:1")}, now);
    CHECK(table.all() == std::vector{honest});
}

TEST_CASE_METHOD(fixture, "a thousand nodes on ten addresses get ten places beside a hundred honest ones", "[dht]") {
    for (std::uint32_t i = 0; i < 1000; ++i) {
        dht::contact const sybil{
            random.id(),
            {ip_address::v4({66, 6, 6, static_cast<std::uint8_t>(i % 10)}), static_cast<std::uint16_t>(1000 + i)}};
        table.answered(sybil, now);
    }
    for (std::uint32_t i = 0; i < 100; ++i) table.answered(tied(i), now);
    auto const all = table.all();
    auto const sybils =
        std::ranges::count_if(all, [](auto const& each) { return each.at.address.bytes()[0] == std::byte{66}; });
    CHECK(all.size() > 20);
    CHECK(static_cast<std::size_t>(sybils) * 10 <= all.size());
}

TEST_CASE_METHOD(fixture, "a node with the id that its address gives takes the place of one without", "[dht]") {
    for (std::uint32_t i = 0; i < 8; ++i) table.answered({id_with(0), outside(i)}, now);
    CHECK(table.size() == 8);
    auto honest = tied(100);
    for (std::uint32_t i = 101; dht::common_prefix(honest.id, own) != 0; ++i) honest = tied(i);
    table.answered(honest, now);
    CHECK(holds(table, honest.at));
    CHECK(table.size() == 8);
}

TEST_CASE_METHOD(fixture, "the nearest are given, those that answered lately first", "[dht]") {
    for (std::uint32_t i = 0; i < 60; ++i) table.answered({random.id(), outside(i)}, now);
    auto const target = random.id();
    auto const nearest = table.nearest(target, 8, now);
    REQUIRE(nearest.size() == 8);
    auto all = table.all();
    std::ranges::sort(all, [&](auto const& a, auto const& b) { return dht::is_nearer(target, a.id, b.id); });
    all.resize(8);
    CHECK(nearest == all);
    table.silent(nearest[0].at);
    CHECK(table.nearest(target, 1, now).front() == nearest[1]);
}

TEST_CASE_METHOD(fixture, "nodes that were not heard for fifteen minutes are asked, and buckets refreshed", "[dht]") {
    for (std::uint32_t i = 0; i < 30; ++i) table.answered({random.id(), outside(i)}, now);
    CHECK(table.questionable(now + 14min).empty());
    CHECK_FALSE(table.questionable(now + 16min).empty());
    CHECK(table.stale(random, now + 14min).empty());
    auto const places = table.stale(random, now + 16min);
    REQUIRE_FALSE(places.empty());
    std::vector<std::size_t> prefixes;
    for (auto const& each : places) prefixes.push_back(dht::common_prefix(each, own));
    CHECK(prefixes.front() == 0);
    CHECK(std::ranges::is_sorted(prefixes));
    CHECK(std::ranges::adjacent_find(prefixes) == prefixes.end());
    CHECK(table.stale(random, now + 17min).empty());
}

TEST_CASE_METHOD(fixture, "around another id the same nodes are kept where there is room", "[dht]") {
    for (std::uint32_t i = 0; i < 30; ++i) table.answered({random.id(), outside(i)}, now);
    auto const before = table.all();
    auto const moved = random.id();
    table.move_to(moved, now);
    CHECK(table.own() == moved);
    CHECK(table.size() >= 8);
    for (auto const& each : table.all()) CHECK(std::ranges::count(before, each) == 1);
}
