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
constexpr auto b = peer_slot{1};
constexpr auto c = peer_slot{2};

picker_t make(std::uint32_t pieces) {
    return picker_t{{2 * block_length, pieces * 2ULL * block_length, 5, {}}};
}

void add_seed(picker_t& p, peer_slot peer) {
    p.add_peer(peer);
    p.peer_has(peer, bitfield{p.piece_count(), true});
}

std::vector<block_ref> pick(picker_t& p, peer_slot peer, std::size_t blocks_max, bool fast = true) {
    std::vector<block_ref> out;
    p.pick(peer, blocks_max, fast, out);
    return out;
}
}  // namespace

TEST_CASE("the first copy is wanted, the last block completes the piece, a second copy is not wanted", "[picker]") {
    auto p = make(4);
    add_seed(p, a);
    auto const blocks = pick(p, a, 2);
    std::vector<peer_slot> also;
    auto const first = p.received(a, blocks[0], also);
    CHECK(first.wanted);
    CHECK_FALSE(first.piece_complete);
    CHECK_FALSE(p.received(a, blocks[0], also).wanted);
    auto const last = p.received(a, blocks[1], also);
    CHECK(last.wanted);
    CHECK(last.piece_complete);
    CHECK(also.empty());
    CHECK(p.outstanding(a) == 0);
}

TEST_CASE("a block that was not asked of the peer is not wanted", "[picker]") {
    auto p = make(4);
    add_seed(p, a);
    add_seed(p, b);
    auto const block = pick(p, a, 1)[0];
    std::vector<peer_slot> also;
    CHECK_FALSE(p.received(b, block, also).wanted);
    CHECK_FALSE(p.received(peer_slot{77}, block, also).wanted);
    auto other = block;
    other.begin += block_length;
    CHECK_FALSE(p.received(a, other, also).wanted);
    CHECK(p.received(a, block, also).wanted);
}

TEST_CASE("a block with another shape than was asked for is not wanted", "[picker]") {
    auto p = make(4);
    add_seed(p, a);
    auto const block = pick(p, a, 1)[0];
    std::vector<peer_slot> also;
    auto const refused = [&](block_ref wrong) {
        p.returned(a, wrong);
        return !p.received(a, wrong, also).wanted && p.outstanding(a) == 1;
    };
    CHECK(refused({block.piece, block.begin, block.length - 1}));
    CHECK(refused({block.piece, block.begin, block.length + 1}));
    CHECK(refused({block.piece, block.begin, 0}));
    CHECK(refused({block.piece, block.begin + 1, block.length}));
    CHECK(refused({block.piece, 2 * block_length, block.length}));
    CHECK(refused({block.piece, 0xffff'c000, block.length}));
    CHECK(refused({piece_index{4}, 0, block.length}));
    CHECK(refused({piece_index{0xffff'ffff}, 0, block.length}));
    CHECK(p.received(a, block, also).wanted);
}

TEST_CASE("a copy that arrives names the others that were asked, and nothing is outstanding to them", "[picker]") {
    auto p = make(1);
    for (auto const peer : {a, b, c}) add_seed(p, peer);
    auto const blocks = pick(p, a, 2);
    REQUIRE(pick(p, b, 2).size() == 2);
    REQUIRE(pick(p, c, 2).size() == 2);
    std::vector<peer_slot> also;
    CHECK(p.received(b, blocks[0], also).wanted);
    CHECK(also == std::vector{a, c});
    CHECK(p.outstanding(a) == 1);
    CHECK(p.outstanding(b) == 1);
    CHECK(p.outstanding(c) == 1);
    CHECK_FALSE(p.received(a, blocks[0], also).wanted);
    CHECK(also.size() == 2);
}

TEST_CASE("a returned block is free for others", "[picker]") {
    auto p = make(1);
    add_seed(p, a);
    add_seed(p, b);
    auto const blocks = pick(p, a, 2);
    p.returned(a, blocks[1]);
    p.returned(a, blocks[1]);
    CHECK(p.outstanding(a) == 1);
    CHECK(pick(p, b, 1) == std::vector{blocks[1]});
}

TEST_CASE("what was outstanding to a removed peer is free again", "[picker]") {
    auto p = make(3);
    add_seed(p, a);
    REQUIRE(pick(p, a, 99).size() == 6);
    p.remove_peer(a);
    add_seed(p, b);
    CHECK_FALSE(p.is_end_game());
    CHECK(pick(p, b, 99).size() == 6);
}

TEST_CASE("a piece that failed is asked for again, whole and of one peer", "[picker]") {
    auto p = make(1);
    add_seed(p, a);
    add_seed(p, b);
    std::vector<peer_slot> also;
    p.received(a, pick(p, a, 1)[0], also);
    CHECK(p.received(b, pick(p, b, 1)[0], also).piece_complete);
    p.piece_failed(piece_index{0});
    CHECK(p.bytes_left() == 2 * block_length);
    auto const again = pick(p, b, 1);
    REQUIRE(again.size() == 1);
    CHECK(pick(p, a, 1, false).empty());
    p.returned(b, again[0]);
    CHECK(pick(p, a, 2).size() == 2);
}

TEST_CASE("a piece that failed is not given to a snubbed peer while another has it", "[picker]") {
    auto const policy = GENERATE(order::rarest_first, order::sequential);
    picker_t p{{2 * block_length, 2 * block_length, 5, policy}};
    add_seed(p, a);
    p.set_snubbed(a, true);
    std::vector<peer_slot> also;
    for (auto const& block : pick(p, a, 2)) p.received(a, block, also);
    p.piece_failed(piece_index{0});
    auto const alone = pick(p, a, 1);
    CHECK(alone.size() == 1);  // of whom else?
    p.returned(a, alone[0]);
    add_seed(p, b);
    CHECK(pick(p, a, 2).empty());
    CHECK(pick(p, b, 2).size() == 2);
    p.remove_peer(b);
    add_seed(p, b);
    CHECK(pick(p, a, 2).empty());
    p.set_snubbed(a, false);
    CHECK(pick(p, a, 2).size() == 2);
}

TEST_CASE("peers that do not answer leave places for a copy to those who do", "[picker]") {
    auto p = make(1);
    constexpr auto honest = peer_slot{3};
    for (auto const silent : {a, b, c}) {
        add_seed(p, silent);
        p.set_snubbed(silent, true);
    }
    add_seed(p, honest);
    CHECK(pick(p, a, 2).size() == 2);
    CHECK(pick(p, b, 2).empty());
    CHECK(pick(p, c, 2).empty());
    CHECK(pick(p, honest, 2).size() == 2);
}

TEST_CASE("a failed piece that one peer has to itself does not hold up the end of the others", "[picker]") {
    auto p = make(2);
    add_seed(p, a);
    add_seed(p, b);
    add_seed(p, c);
    std::vector<peer_slot> also;
    auto const first = pick(p, a, 2);
    for (auto const& block : first) p.received(a, block, also);
    p.piece_failed(first[0].piece);
    auto const rest = pick(p, b, 3);  // the other piece, and one block of the failed one
    REQUIRE(rest.size() == 3);
    CHECK(p.is_end_game());
    auto const copies = pick(p, c, 4);
    REQUIRE(copies.size() == 2);
    for (auto const& block : copies) CHECK(block.piece != first[0].piece);
}

TEST_CASE("the one peer of a failed piece gives way when it answered all and asks no more", "[picker]") {
    auto p = make(2);
    add_seed(p, a);
    add_seed(p, b);
    std::vector<peer_slot> also;
    auto const blocks = pick(p, a, 2);
    for (auto const& block : blocks) p.received(a, block, also);
    auto const failed = blocks[0].piece;
    p.piece_failed(failed);
    p.set_have(failed == piece_index{0} ? piece_index{1} : piece_index{0});
    p.received(a, pick(p, a, 1)[0], also);
    CHECK(pick(p, b, 1).size() == 1);
}

TEST_CASE("the one peer of a failed piece gives way when the last that was asked for a copy leaves", "[picker]") {
    auto p = make(1);
    for (auto const peer : {a, b, c}) add_seed(p, peer);
    std::vector<peer_slot> also;
    for (auto const& block : pick(p, a, 2)) p.received(a, block, also);
    p.piece_failed(piece_index{0});
    auto const alone = pick(p, a, 2);
    REQUIRE(pick(p, b, 2).size() == 2);  // copies
    p.set_snubbed(a, true);
    for (auto const& block : alone) p.returned(a, block);
    p.received(b, alone[0], also);
    p.remove_peer(b);
    CHECK(pick(p, c, 2) == std::vector{alone[1]});
}

TEST_CASE("a peer that claims all and never delivers loses its blocks to others in the end game", "[picker]") {
    auto p = make(2);
    add_seed(p, a);
    auto const held = pick(p, a, 4);
    REQUIRE(held.size() == 4);
    add_seed(p, b);
    auto const copies = pick(p, b, 4);
    REQUIRE(copies.size() == 4);
    std::vector<peer_slot> also;
    for (auto const& block : copies) {
        if (p.received(b, block, also).piece_complete) p.set_have(block.piece);
    }
    CHECK(p.complete());
    CHECK(also == std::vector{a, a, a, a});
    CHECK(p.outstanding(a) == 0);
}
