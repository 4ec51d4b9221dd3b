#include <catch2/catch.hpp>
#include <cstdint>
#include <limits>
#include <vector>

import shoal.core;
import shoal.picker;

using namespace shoal;
using namespace shoal::picker;
using picker_t = shoal::picker::picker;

namespace {
constexpr auto a = peer_slot{0};
constexpr auto b = peer_slot{1};
constexpr auto c = peer_slot{2};

picker_t make(std::uint32_t pieces) {
    return picker_t{{block_length, std::uint64_t{pieces} * block_length, 5, {}}};
}

bitfield only(std::uint32_t size, std::vector<std::uint32_t> const& pieces) {
    bitfield has{size};
    for (auto const piece : pieces) has.set(piece_index{piece});
    return has;
}

std::size_t pick(picker_t& p, peer_slot peer, std::size_t blocks_max) {
    std::vector<block_ref> out;
    p.pick(peer, blocks_max, true, out);
    return out.size();
}
}  // namespace

TEST_CASE("a peer is interesting while it has a wanted piece that is not had", "[picker]") {
    auto p = make(3);
    p.add_peer(a);
    CHECK_FALSE(p.is_interesting(a));
    p.peer_has(a, piece_index{1});
    CHECK(p.is_interesting(a));
    p.set_have(piece_index{1});
    CHECK_FALSE(p.is_interesting(a));
    p.peer_has(a, piece_index{2});
    CHECK(p.is_interesting(a));
    p.set_wanted(piece_index{2}, false);
    CHECK_FALSE(p.is_interesting(a));
    p.peer_has(a, bitfield{3, true});
    CHECK(p.is_interesting(a));
    p.peer_has(a, bitfield{3, false});
    CHECK_FALSE(p.is_interesting(a));
}

TEST_CASE("announcing a piece twice counts once", "[picker]") {
    auto p = make(3);
    p.add_peer(a);
    p.peer_has(a, piece_index{1});
    p.peer_has(a, piece_index{1});
    CHECK(p.availability(piece_index{1}) == 1);
    p.peer_lost(a, piece_index{1});
    p.peer_lost(a, piece_index{1});
    CHECK(p.availability(piece_index{1}) == 0);
    CHECK_FALSE(p.is_interesting(a));
}

TEST_CASE("seeds count in availability however they became seeds", "[picker]") {
    auto p = make(2);
    p.add_peer(a);
    p.peer_has(a, bitfield{2, true});
    p.add_peer(b);
    p.peer_has(b, piece_index{0});
    p.peer_has(b, piece_index{1});
    CHECK(p.is_seed(a));
    CHECK(p.is_seed(b));
    CHECK(p.availability(piece_index{0}) == 2);
    p.peer_lost(a, piece_index{0});
    CHECK_FALSE(p.is_seed(a));
    CHECK(p.availability(piece_index{0}) == 1);
    CHECK(p.availability(piece_index{1}) == 2);
    p.peer_has(a, piece_index{0});
    CHECK(p.is_seed(a));
    CHECK(p.availability(piece_index{0}) == 2);
    p.remove_peer(a);
    p.remove_peer(b);
    CHECK(p.availability(piece_index{0}) == 0);
    CHECK(p.availability(piece_index{1}) == 0);
}

TEST_CASE("a bitfield replaces all the peer had, one of another size is ignored", "[picker]") {
    auto p = make(4);
    p.add_peer(a);
    p.peer_has(a, only(4, {0, 1}));
    p.peer_has(a, only(4, {1, 2}));
    CHECK(p.availability(piece_index{0}) == 0);
    CHECK(p.availability(piece_index{2}) == 1);
    p.peer_has(a, bitfield{3, true});
    p.peer_has(a, bitfield{5, true});
    CHECK(p.has(a, piece_index{1}));
    CHECK_FALSE(p.has(a, piece_index{3}));
}

TEST_CASE("a slot that is used again starts with nothing", "[picker]") {
    auto p = make(4);
    p.add_peer(a);
    p.peer_has(a, bitfield{4, true});
    p.set_uploaded(a, 100);
    REQUIRE(pick(p, a, 3) == 3);
    p.add_peer(a);
    CHECK(p.outstanding(a) == 0);
    CHECK_FALSE(p.is_interesting(a));
    CHECK(p.availability(piece_index{0}) == 0);
    CHECK(pick(p, a, 3) == 0);
}

TEST_CASE("slots that were never added, and slots beyond the limit, are ignored", "[picker]") {
    auto p = make(4);
    for (auto const peer : {peer_slot{3}, peer_slot{peers_max}, peer_slot{peers_max + 1}, no_peer}) {
        if (to_number(peer) >= peers_max) p.add_peer(peer);
        p.peer_has(peer, piece_index{0});
        p.peer_has(peer, bitfield{4, true});
        p.peer_lost(peer, piece_index{0});
        p.set_uploaded(peer, 3);
        p.returned(peer, {piece_index{0}, 0, block_length});
        p.remove_peer(peer);
        CHECK(pick(p, peer, 3) == 0);
        CHECK_FALSE(p.is_interesting(peer));
        CHECK_FALSE(p.serve_before(peer, peer));
    }
    CHECK(p.availability(piece_index{0}) == 0);
    p.add_peer(peer_slot{peers_max - 1});
    p.peer_has(peer_slot{peers_max - 1}, piece_index{0});
    CHECK(pick(p, peer_slot{peers_max - 1}, 3) == 1);
}

TEST_CASE("who uploaded less is served before, what is outstanding included", "[picker]") {
    auto p = make(9);
    for (auto const peer : {a, b, c}) {
        p.add_peer(peer);
        p.peer_has(peer, bitfield{9, true});
    }
    CHECK_FALSE(p.serve_before(a, b));
    p.set_uploaded(a, 10 * block_length);
    p.set_uploaded(b, 12 * block_length);
    CHECK(p.serve_before(a, b));
    CHECK(p.serve_before(a, c));
    CHECK(p.serve_before(c, b));
    REQUIRE(pick(p, a, 3) == 3);
    CHECK(p.serve_before(b, a));
    p.set_uploaded(a, std::numeric_limits<std::uint64_t>::max());
    CHECK(p.serve_before(b, a));
    p.remove_peer(b);
    CHECK(p.serve_before(c, a));
}
