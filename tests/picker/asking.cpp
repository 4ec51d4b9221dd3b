#include <algorithm>
#include <catch2/catch.hpp>
#include <chrono>
#include <cstdint>
#include <set>
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
constexpr auto c = peer_slot{2};
constexpr auto d = peer_slot{3};

picker_t make(std::uint32_t pieces, std::uint64_t seed = 1, order policy = order::rarest_first) {
    return picker_t{
        {blocks_a_piece * block_length, std::uint64_t{pieces} * blocks_a_piece * block_length, seed, policy}};
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

std::set<std::uint32_t> pieces_of(std::vector<block_ref> const& blocks) {
    std::set<std::uint32_t> pieces;
    for (auto const& block : blocks) pieces.insert(to_number(block.piece));
    return pieces;
}
}  // namespace

TEST_CASE("blocks come as runs of consecutive blocks of one piece after another", "[picker]") {
    auto p = make(8);
    add_seed(p, a);
    auto const blocks = pick(p, a, 6);
    REQUIRE(blocks.size() == 6);
    for (std::uint32_t i = 0; i < 6; ++i) {
        CHECK(blocks[i].begin == i % blocks_a_piece * block_length);
        CHECK(blocks[i].length == block_length);
        CHECK(blocks[i].piece == blocks[i / blocks_a_piece * blocks_a_piece].piece);
    }
    CHECK(p.outstanding(a) == 6);
}

TEST_CASE("the last block of a torrent is as short as the torrent ends", "[picker]") {
    picker_t p{{2 * block_length, 3 * block_length + 5, 1, order::sequential}};
    add_seed(p, a);
    auto const blocks = pick(p, a, 9);
    REQUIRE(blocks.size() == 4);
    CHECK(blocks[3] == block_ref{piece_index{1}, block_length, 5});
    CHECK(p.bytes_left() == 3 * block_length + 5);
}

TEST_CASE("a piece shorter than a block is one block", "[picker]") {
    picker_t p{{1000, 2500, 1, order::sequential}};
    add_seed(p, a);
    auto const blocks = pick(p, a, 9);
    REQUIRE(blocks.size() == 3);
    CHECK(blocks[0] == block_ref{piece_index{0}, 0, 1000});
    CHECK(blocks[2] == block_ref{piece_index{2}, 0, 500});
}

TEST_CASE("an empty torrent is complete and has nothing to ask for", "[picker]") {
    picker_t p{{block_length, 0, 1, order::rarest_first}};
    CHECK(p.complete());
    add_seed(p, a);
    CHECK_FALSE(p.is_interesting(a));
    CHECK(pick(p, a, 9).empty());
}

TEST_CASE("the rarest piece is begun first", "[picker]") {
    auto p = make(50);
    for (auto const peer : {a, b, c}) p.add_peer(peer);
    for (std::uint32_t piece = 0; piece < 50; ++piece) {
        p.peer_has(a, piece_index{piece});
        if (piece != 17) p.peer_has(b, piece_index{piece});
        if (piece % 10 == 0) p.peer_has(c, piece_index{piece});
    }
    CHECK(p.availability(piece_index{17}) == 1);
    CHECK(pieces_of(pick(p, a, 1)) == std::set<std::uint32_t>{17});
}

TEST_CASE("the choice among equals differs from seed to seed", "[picker]") {
    std::set<std::uint32_t> first;
    for (std::uint64_t seed = 0; seed < 32; ++seed) {
        auto p = make(1000, seed);
        add_seed(p, a);
        first.merge(pieces_of(pick(p, a, 1)));
    }
    CHECK(first.size() > 24);
}

TEST_CASE("pickers that hear the same announcements still begin different pieces", "[picker]") {
    std::set<std::uint32_t> first;
    for (std::uint64_t seed = 0; seed < 32; ++seed) {
        auto p = make(200, seed);
        p.add_peer(a);
        for (std::uint32_t piece = 0; piece < 100; ++piece) p.peer_has(a, piece_index{piece});
        first.merge(pieces_of(pick(p, a, 1)));
    }
    CHECK(first.size() > 20);
}

TEST_CASE("with many pieces a peer that has few is still given them", "[picker]") {
    auto p = make(20'000);
    p.add_peer(a);
    p.add_peer(b);
    for (std::uint32_t piece = 0; piece < 20'000; ++piece) {
        if (piece != 12'345) p.peer_has(b, piece_index{piece});
    }
    p.add_peer(c);
    for (std::uint32_t piece = 0; piece < 20'000; ++piece) p.peer_has(c, piece_index{piece});
    p.peer_has(a, piece_index{7});
    p.peer_has(a, piece_index{19'999});
    CHECK(pieces_of(pick(p, a, 100)) == std::set<std::uint32_t>{7, 19'999});
}

TEST_CASE("sequential order takes the lowest piece the peer has", "[picker]") {
    auto p = make(10, 1, order::sequential);
    p.add_peer(a);
    for (std::uint32_t const piece : {9, 4, 6}) p.peer_has(a, piece_index{piece});
    add_seed(p, b);
    CHECK(pieces_of(pick(p, a, 2)) == std::set<std::uint32_t>{4});
    CHECK(pieces_of(pick(p, b, 16)) == std::set<std::uint32_t>{0, 1, 2, 3});
    CHECK(pieces_of(pick(p, b, 2)) == std::set<std::uint32_t>{4});
}

TEST_CASE("pieces with a deadline come before all others, soonest first", "[picker]") {
    auto p = make(100);
    add_seed(p, a);
    auto const start = time_point{};
    p.set_deadline(piece_index{70}, start + std::chrono::seconds{9});
    p.set_deadline(piece_index{80}, start + std::chrono::seconds{2});
    p.set_deadline(piece_index{70}, start + std::chrono::seconds{1});
    auto const blocks = pick(p, a, 2 * blocks_a_piece);
    CHECK(blocks.front().piece == piece_index{70});
    CHECK(blocks.back().piece == piece_index{80});
    p.set_deadline(piece_index{90}, start);
    p.clear_deadlines();
    CHECK(pieces_of(pick(p, a, blocks_a_piece)) != std::set<std::uint32_t>{90});
}

TEST_CASE("unwanted pieces are not picked, and are again once they are wanted", "[picker]") {
    auto p = make(3);
    add_seed(p, a);
    p.set_wanted(piece_index{0}, false);
    p.set_wanted(piece_index{2}, false);
    CHECK(p.bytes_left() == blocks_a_piece * block_length);
    CHECK(pieces_of(pick(p, a, 99)) == std::set<std::uint32_t>{1});
    p.set_wanted(piece_index{2}, true);
    CHECK(pieces_of(pick(p, a, 99)) == std::set<std::uint32_t>{2});
}

TEST_CASE("a slow peer joins a begun piece, a fast one begins another", "[picker]") {
    auto p = make(20);
    for (auto const peer : {a, b, c}) add_seed(p, peer);
    auto const first = pick(p, a, 1);
    CHECK(pieces_of(pick(p, b, 1, true)) != pieces_of(first));
    auto const joined = pieces_of(pick(p, c, 1, false));
    CHECK(joined == pieces_of(first));
}

TEST_CASE("fast peers share a piece when no other is left", "[picker]") {
    auto p = make(1);
    add_seed(p, a);
    add_seed(p, b);
    CHECK(pick(p, a, 2).size() == 2);
    auto const rest = pick(p, b, 2);
    REQUIRE(rest.size() == 2);
    CHECK(rest[0].begin == 2 * block_length);
}

TEST_CASE("a piece that nobody is at any more is finished before another is begun", "[picker]") {
    auto p = make(30);
    add_seed(p, a);
    add_seed(p, b);
    auto const first = pick(p, a, 2);
    std::vector<peer_slot> also;
    p.received(a, first[0], also);
    p.returned(a, first[1]);
    CHECK(pieces_of(pick(p, b, 3, true)) == pieces_of(first));
}

TEST_CASE("in the end game a block goes to at most end_game_copies peers, the least asked first", "[picker]") {
    auto p = make(1);
    for (auto const peer : {a, b, c, d}) add_seed(p, peer);
    CHECK_FALSE(p.is_end_game());
    REQUIRE(pick(p, a, 4).size() == 4);
    CHECK(p.is_end_game());
    auto const second = pick(p, b, 2);
    REQUIRE(second.size() == 2);
    auto const third = pick(p, c, 2);
    REQUIRE(third.size() == 2);
    CHECK(std::ranges::find_first_of(second, third) == second.end());
    CHECK(pick(p, c, 99).size() == 2);
    CHECK(pick(p, d, 99).size() == 2);
    static_assert(end_game_copies == 3);
    for (auto const peer : {a, b, c, d}) CHECK(pick(p, peer, 99).empty());
}

TEST_CASE("what only absent peers have does not hold up the end game", "[picker]") {
    auto p = make(2);
    p.add_peer(a);
    p.add_peer(b);
    p.peer_has(a, piece_index{0});
    p.peer_has(b, piece_index{0});
    REQUIRE(pick(p, a, 9).size() == 4);
    CHECK(p.is_end_game());
    CHECK(pick(p, b, 9).size() == 4);
}

TEST_CASE("no copies are asked for while fresh pieces are left for others", "[picker]") {
    auto p = make(2);
    p.add_peer(a);
    p.add_peer(b);
    add_seed(p, c);
    p.peer_has(a, piece_index{0});
    p.peer_has(b, piece_index{0});
    REQUIRE(pick(p, a, 9).size() == 4);
    CHECK_FALSE(p.is_end_game());
    CHECK(pick(p, b, 9).empty());
}
