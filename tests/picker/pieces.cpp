#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdint>
#include <vector>

import shoal.core;
import shoal.picker;

using namespace shoal;
using namespace shoal::picker;
using picker_t = shoal::picker::picker;

namespace {
constexpr auto a = peer_slot{0};

picker_t make(std::uint32_t pieces) {
    return picker_t{{2 * block_length, pieces * 2ULL * block_length - 7, 5, {}}};
}

void add_seed(picker_t& p, peer_slot peer) {
    p.add_peer(peer);
    p.peer_has(peer, bitfield{p.piece_count(), true});
}

std::vector<block_ref> pick(picker_t& p, peer_slot peer, std::size_t blocks_max) {
    std::vector<block_ref> out;
    p.pick(peer, blocks_max, true, out);
    return out;
}
}  // namespace

TEST_CASE("pieces that are had count down what is left to nothing", "[picker]") {
    auto p = make(3);
    CHECK(p.piece_size(piece_index{1}) == 2 * block_length);
    CHECK(p.piece_size(piece_index{2}) == 2 * block_length - 7);
    CHECK(p.piece_size(piece_index{3}) == 0);
    p.set_have(piece_index{2});
    p.set_have(piece_index{2});
    CHECK(p.bytes_left() == 4 * block_length);
    p.set_have(piece_index{0});
    CHECK_FALSE(p.complete());
    p.set_have(piece_index{1});
    CHECK(p.complete());
    CHECK(p.bytes_left() == 0);
    CHECK(p.have().all());
}

TEST_CASE("padding at the end of a piece is not left, and nobody is asked for blocks of it alone", "[picker]") {
    // Of two blocks each: the second is padding alone, in part, and not at all.
    auto p = picker_t{{2 * block_length, 6ULL * block_length, 5, {}, {block_length, 7, 0}}};
    CHECK(p.needed_size(piece_index{0}) == block_length);
    CHECK(p.needed_size(piece_index{1}) == 2 * block_length - 7);
    CHECK(p.needed_size({piece_index{0}, block_length, block_length}) == 0);
    CHECK(p.needed_size({piece_index{1}, block_length, block_length}) == block_length - 7);
    CHECK(p.needed_blocks(piece_index{0}) == 1);
    CHECK(p.needed_blocks(piece_index{1}) == 2);
    CHECK(p.bytes_left() == 5 * block_length - 7);
    add_seed(p, a);
    auto const asked = pick(p, a, 100);
    CHECK(asked.size() == 5);
    CHECK(std::ranges::count(asked, block_ref{piece_index{0}, 0, block_length}) == 1);
    CHECK(std::ranges::count(asked, block_ref{piece_index{1}, block_length, block_length}) == 1);  // a whole one
    std::vector<peer_slot> also_asked;
    CHECK(p.received(a, {piece_index{0}, 0, block_length}, also_asked).piece_complete);
    p.set_have(piece_index{0});
    CHECK(p.bytes_left() == 4 * block_length - 7);
    p.piece_failed(piece_index{0});
    CHECK(p.bytes_left() == 5 * block_length - 7);
}

TEST_CASE("complete means all that is wanted", "[picker]") {
    auto p = make(3);
    p.set_wanted(piece_index{1}, false);
    p.set_have(piece_index{0});
    p.set_have(piece_index{2});
    CHECK(p.complete());
    p.set_wanted(piece_index{1}, true);
    CHECK_FALSE(p.complete());
    CHECK(p.bytes_left() == 2 * block_length);
}

TEST_CASE("a piece found on disk while it is asked for leaves nothing outstanding", "[picker]") {
    auto p = make(2);
    add_seed(p, a);
    auto const blocks = pick(p, a, 1);
    p.set_have(blocks[0].piece);
    CHECK(p.outstanding(a) == 0);
    std::vector<peer_slot> also;
    CHECK_FALSE(p.received(a, blocks[0], also).wanted);
    CHECK(pick(p, a, 9).size() == 2);
}

TEST_CASE("a piece that was had and is lost on disk is asked for again", "[picker]") {
    auto p = make(1);
    add_seed(p, a);
    p.set_have(piece_index{0});
    CHECK_FALSE(p.is_interesting(a));
    p.piece_failed(piece_index{0});
    CHECK(p.is_interesting(a));
    CHECK_FALSE(p.complete());
    CHECK(pick(p, a, 9).size() == 2);
}

TEST_CASE("blocks of a piece that is no longer wanted may still arrive and complete it", "[picker]") {
    auto p = make(2);
    add_seed(p, a);
    auto const blocks = pick(p, a, 2);
    p.set_wanted(blocks[0].piece, false);
    std::vector<peer_slot> also;
    CHECK(p.received(a, blocks[0], also).wanted);
    CHECK(p.received(a, blocks[1], also).piece_complete);
    p.set_have(blocks[0].piece);
    CHECK(p.bytes_left() == p.piece_size(piece_index{1 - to_number(blocks[0].piece)}));
}

TEST_CASE("what is free of an unwanted piece is not handed out", "[picker]") {
    auto p = make(2);
    add_seed(p, a);
    auto const piece = pick(p, a, 1)[0].piece;
    p.set_wanted(piece, false);
    for (auto const& block : pick(p, a, 9)) CHECK(block.piece != piece);
    p.set_wanted(piece, true);
    auto const rest = pick(p, a, 9);
    REQUIRE(rest.size() == 1);
    CHECK(rest[0].piece == piece);
}

TEST_CASE("pieces out of range are ignored", "[picker]") {
    auto p = make(2);
    for (auto const piece : {piece_index{2}, piece_index{0xffff'ffff}}) {
        p.set_have(piece);
        p.set_wanted(piece, false);
        p.piece_failed(piece);
        p.set_deadline(piece, {});
        CHECK(p.availability(piece) == 0);
    }
    CHECK(p.have().none());
    CHECK(p.bytes_left() == 4 * block_length - 7);
}
