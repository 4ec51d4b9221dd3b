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
constexpr std::uint32_t blocks_a_piece = 4;
constexpr auto a = peer_slot{0};
constexpr auto b = peer_slot{1};

picker_t make(std::uint32_t pieces) {
    return picker_t{{blocks_a_piece * block_length, std::uint64_t{pieces} * blocks_a_piece * block_length, 1}};
}
picker_t make_with_two_seeds(std::uint32_t pieces) {
    auto p = make(pieces);
    for (auto const peer : {a, b}) {
        p.add_peer(peer);
        p.peer_has(peer, bitfield{pieces, true});
    }
    return p;
}
std::vector<block_ref> pick(picker_t& p, peer_slot peer, std::size_t blocks_max) {
    std::vector<block_ref> out;
    p.pick(peer, blocks_max, true, out);
    return out;
}
bool all_of_piece(std::vector<block_ref> const& blocks, std::uint32_t piece) {
    return std::ranges::all_of(blocks, [piece](auto const& block) { return to_number(block.piece) == piece; });
}
bool none_of_piece(std::vector<block_ref> const& blocks, std::uint32_t piece) {
    return std::ranges::none_of(blocks, [piece](auto const& block) { return to_number(block.piece) == piece; });
}
void receive_all(picker_t& p, peer_slot peer, std::vector<block_ref> const& blocks) {
    std::vector<peer_slot> others;
    for (auto const& block : blocks) p.received(peer, block, others);
}
}  // namespace

TEST_CASE("a reserved piece is asked of its peer first and of nobody else", "[picker]") {
    auto p = make_with_two_seeds(8);
    p.reserve(piece_index{5}, a);
    CHECK(none_of_piece(pick(p, b, 100), 5));
    auto const first = pick(p, a, blocks_a_piece);
    REQUIRE(first.size() == blocks_a_piece);
    CHECK(all_of_piece(first, 5));
}

TEST_CASE("a reserved piece that is begun goes on with its peer alone", "[picker]") {
    auto p = make_with_two_seeds(2);
    p.reserve(piece_index{1}, b);
    auto const begun = pick(p, b, 2);
    REQUIRE(all_of_piece(begun, 1));
    CHECK(none_of_piece(pick(p, a, 100), 1));
    p.returned(b, begun[0]);
    p.returned(b, begun[1]);
    CHECK(pick(p, a, 100).empty());
    CHECK(pick(p, b, 2).size() == 2);
}

TEST_CASE("a reserved piece that failed is asked of its peer, though that one was silent", "[picker]") {
    auto p = make_with_two_seeds(2);
    p.set_snubbed(a, true);
    p.reserve(piece_index{1}, a);
    receive_all(p, a, pick(p, a, blocks_a_piece));
    p.piece_failed(piece_index{1});
    CHECK(pick(p, a, 1).size() == 1);
    auto const rest = pick(p, a, blocks_a_piece - 1);
    CHECK(rest.size() == blocks_a_piece - 1);
    CHECK(all_of_piece(rest, 1));
}

TEST_CASE("in the end game no copy of a reserved block is asked", "[picker]") {
    auto p = make_with_two_seeds(1);
    p.reserve(piece_index{0}, a);
    CHECK(pick(p, a, 100).size() == blocks_a_piece);
    CHECK(pick(p, b, 100).empty());
    p.release(piece_index{0});
    CHECK(pick(p, b, 100).size() == blocks_a_piece);
}

TEST_CASE("with reserved pieces only, nothing else is asked for", "[picker]") {
    auto p = make_with_two_seeds(4);
    p.set_reserved_only(true);
    CHECK(pick(p, a, 100).empty());
    CHECK_FALSE(p.complete());
    CHECK(p.is_interesting(a));
    p.reserve(piece_index{2}, a);
    auto const asked = pick(p, a, 100);
    CHECK(asked.size() == blocks_a_piece);
    CHECK(all_of_piece(asked, 2));
    CHECK(pick(p, b, 100).empty());
    p.set_reserved_only(false);
    CHECK(pick(p, b, 100).size() == 3 * blocks_a_piece);
}

TEST_CASE("a reservation waits for its peer to have the piece", "[picker]") {
    auto p = make(3);
    p.add_peer(a);
    p.set_reserved_only(true);
    p.reserve(piece_index{1}, a);
    CHECK(pick(p, a, 100).empty());
    p.peer_has(a, piece_index{1});
    CHECK(pick(p, a, 100).size() == blocks_a_piece);
}

TEST_CASE("a reservation ends when the piece is had, or its peer leaves", "[picker]") {
    auto p = make_with_two_seeds(2);
    p.reserve(piece_index{0}, a);
    p.reserve(piece_index{1}, a);
    receive_all(p, a, pick(p, a, 2 * blocks_a_piece));
    p.set_have(piece_index{0});
    p.piece_failed(piece_index{0});  // lost on disk: anybody may send it
    CHECK(all_of_piece(pick(p, b, blocks_a_piece), 0));
    p.piece_failed(piece_index{1});
    CHECK(pick(p, b, 100).empty());
    p.remove_peer(a);
    auto const rest = pick(p, b, 100);
    CHECK(std::ranges::count_if(rest, [](auto const& block) { return block.piece == piece_index{1}; }) ==
          blocks_a_piece);
}

TEST_CASE("a reserved piece that fails its hash is asked of its peer again", "[picker]") {
    auto p = make_with_two_seeds(1);
    p.set_reserved_only(true);
    p.reserve(piece_index{0}, a);
    receive_all(p, a, pick(p, a, 100));
    p.piece_failed(piece_index{0});
    CHECK(pick(p, b, 100).empty());
    CHECK(pick(p, a, 100).size() == blocks_a_piece);
}

TEST_CASE("what cannot be reserved is not", "[picker]") {
    auto p = make_with_two_seeds(2);
    p.reserve(piece_index{9}, a);
    p.reserve(piece_index{0}, peer_slot{7});
    p.release(piece_index{9});
    CHECK(pick(p, b, 100).size() == 2 * blocks_a_piece);
}
