#include <catch2/catch.hpp>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

import shoal.core;
import shoal.picker;

using namespace shoal;
using namespace shoal::picker;

namespace {
sender at(std::uint8_t host, char mark = 'x') {
    sender who{ip_address::v4({192, 0, 2, host}), {}};
    who.id.bytes.fill(static_cast<std::byte>(mark));
    return who;
}
auto const a = at(1), b = at(2), c = at(3);

/// Block `i` is sent by `who[i]`; what it is like is `like[i]`, 0 being right.
std::vector<received_block> piece_of(std::vector<sender> const& who, std::vector<std::uint64_t> const& like) {
    std::vector<received_block> blocks;
    for (std::size_t i = 0; i < who.size(); ++i) blocks.push_back({who[i], {i + 1, like[i]}});
    return blocks;
}
std::vector<received_block> right_piece(std::vector<sender> const& who) {
    return piece_of(who, std::vector<std::uint64_t>(who.size(), 0));
}
constexpr auto piece = piece_index{7};
constexpr auto other_piece = piece_index{8};

block_prints::secret words(std::uint64_t seed) {
    random_sequence random{seed};
    block_prints::secret drawn;
    for (std::size_t i = 0; i < block_prints::secret_size; ++i) drawn.push_back(random.next());
    return drawn;
}
byte_vector bytes_of(std::size_t size, std::uint64_t seed) {
    random_sequence random{seed};
    byte_vector bytes(size);
    for (auto& each : bytes) each = static_cast<std::byte>(random.next());
    return bytes;
}
}  // namespace

TEST_CASE("who sent one wrong block among many is found when the piece is right, and nobody else is", "[picker]") {
    blame found;
    CHECK_FALSE(found.failed(piece, piece_of({a, b, b, c}, {0, 0, 5, 0})));
    CHECK(found.passed(piece, right_piece({a, a, a, a})) == std::vector{b});
    CHECK(found.block_count() == 0);
    CHECK(found.passed(piece, right_piece({a, a, a, a})).empty());
}

TEST_CASE("who sent the whole of a piece that failed is named at once", "[picker]") {
    blame found;
    CHECK(found.failed(piece, piece_of({b, b, b}, {0, 1, 0})) == b);
    CHECK(found.failed(piece, piece_of({c}, {1})) == c);
    CHECK_FALSE(found.failed(piece, {}));
    CHECK(found.passed(piece, right_piece({a, a, a})).empty());
}

TEST_CASE("liars of several failures of a piece are all found, once each", "[picker]") {
    blame found;
    CHECK_FALSE(found.failed(piece, piece_of({a, b, c}, {0, 2, 0})));
    CHECK_FALSE(found.failed(piece, piece_of({a, c, b}, {0, 0, 2})));
    CHECK_FALSE(found.failed(other_piece, piece_of({a, b, c}, {1, 0, 0})));
    CHECK_FALSE(found.failed(piece, piece_of({a, b, c}, {0, 3, 9})));
    CHECK(found.passed(piece, right_piece({a, a, a})) == std::vector{b, c});
    CHECK(found.passed(other_piece, right_piece({b, b, b})) == std::vector{a});
}

TEST_CASE("nobody is blamed for a piece that failed although all blocks were as they should be", "[picker]") {
    blame found;
    CHECK_FALSE(found.failed(piece, right_piece({a, b})));
    CHECK(found.passed(piece, right_piece({a, c})).empty());
}

TEST_CASE("nobody is blamed for a block whose print was not taken", "[picker]") {
    blame found;
    auto sent = piece_of({a, b, c}, {0, 5, 6});
    sent[1].print = {};
    CHECK_FALSE(found.remembers(piece));
    CHECK_FALSE(found.failed(piece, sent));
    CHECK(found.remembers(piece));
    CHECK_FALSE(found.remembers(other_piece));
    CHECK(found.passed(piece, right_piece({a, a, a})) == std::vector{c});
    CHECK_FALSE(found.remembers(piece));
}

TEST_CASE("whoever has the same address or the same id as a liar is not taken for him", "[picker]") {
    auto const liar = at(1, 'l'), neighbour = at(1, 'n'), namesake = at(2, 'l');
    blame found;
    CHECK_FALSE(found.failed(piece, piece_of({liar, neighbour, namesake}, {4, 0, 0})));
    CHECK(found.passed(piece, right_piece({a, a, a})) == std::vector{liar});
}

TEST_CASE("failures are remembered up to a limit, the last ones", "[picker]") {
    constexpr std::size_t blocks = 1024;
    constexpr auto kept = static_cast<std::uint32_t>(blamed_blocks_max / blocks);
    std::vector<sender> const who(blocks, a);
    auto wrong = right_piece(who);
    wrong.back() = {b, {1, 9}};
    blame found;
    for (std::uint32_t i = 0; i < kept; ++i) CHECK_FALSE(found.failed(piece_index{i}, wrong));
    CHECK(found.block_count() == blamed_blocks_max);
    CHECK_FALSE(found.failed(piece_index{kept}, wrong));
    CHECK(found.block_count() == blamed_blocks_max);
    CHECK(found.passed(piece_index{0}, right_piece(who)).empty());
    CHECK(found.passed(piece_index{1}, right_piece(who)) == std::vector{b});
    CHECK(found.passed(piece_index{kept}, right_piece(who)) == std::vector{b});
}

TEST_CASE("a block's print tells any change of it, and nothing without the secret", "[picker]") {
    block_prints const prints{words(1)}, same{words(1)}, others{words(2)};
    for (std::size_t const size : {std::size_t{block_length}, std::size_t{1000}, std::size_t{17}, std::size_t{1}}) {
        auto block = bytes_of(size, 3);
        auto const print = prints.of(block);
        CHECK(prints.of(block) == print);
        CHECK(same.of(block) == print);
        CHECK(others.of(block) != print);
        for (std::size_t i = 0; i < size; i += 1 + size / 64) {
            auto const bit = static_cast<std::byte>(1u << (i % 8));
            block[i] ^= bit;
            CHECK(prints.of(block) != print);
            block[i] ^= bit;
        }
        block.back() ^= std::byte{1};
        CHECK(prints.of(block) != print);
    }
    // Words that change places, in one product or between two.
    auto block = bytes_of(block_length, 4);
    auto const print = prints.of(block);
    for (std::size_t const from : {std::size_t{8}, std::size_t{16}}) {
        auto swapped = block;
        for (std::size_t i = 0; i < 8; ++i) std::swap(swapped[i], swapped[from + i]);
        CHECK(prints.of(swapped) != print);
    }
}
