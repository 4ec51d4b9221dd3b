#include <catch2/catch.hpp>
#include <cstdint>
#include <limits>
#include <optional>
#include <random>
#include <string>
#include <vector>

import shoal.core;
import shoal.metainfo;

using namespace shoal;
using metainfo::file;
using metainfo::file_range;
using metainfo::geometry;
using metainfo::layout;

namespace {
file sized(std::uint64_t size) {
    file made;
    made.path = {"f" + std::to_string(size)};
    made.size = size;
    return made;
}
layout of_sizes(std::uint32_t piece_length, std::vector<std::uint64_t> const& sizes) {
    std::vector<file> files;
    for (auto const size : sizes) files.push_back(sized(size));
    return layout{piece_length, std::move(files)};
}
constexpr std::uint32_t piece_length = 64 * 1024;
constexpr auto first = piece_index{0};
}  // namespace

TEST_CASE("a last piece ends where the content ends", "[metainfo]") {
    struct row {
        std::uint64_t total;
        std::uint32_t count, last_size, last_blocks, last_block_size;
    };
    for (auto const& [total, count, last_size, last_blocks, last_block_size] : {
             row{1, 1, 1, 1, 1},
             row{block_length - 1, 1, block_length - 1, 1, block_length - 1},
             row{block_length, 1, block_length, 1, block_length},
             row{block_length + 1, 1, block_length + 1, 2, 1},
             row{piece_length - 1, 1, piece_length - 1, 4, block_length - 1},
             row{piece_length, 1, piece_length, 4, block_length},
             row{piece_length + 1, 2, 1, 1, 1},
         }) {
        INFO(total);
        geometry const pieces{total, piece_length};
        REQUIRE(pieces.piece_count() == count);
        auto const last = *pieces.piece(count - 1);
        CHECK(pieces.piece_size(last) == last_size);
        CHECK(pieces.block_count(last) == last_blocks);
        CHECK(pieces.block_at(last, last_blocks - 1).length == last_block_size);
        CHECK(pieces.offset_of(pieces.block_at(last, last_blocks - 1)) + last_block_size == total);
    }
}

TEST_CASE("a geometry without content has no piece", "[metainfo]") {
    CHECK(geometry{}.piece_count() == 0);
    CHECK_FALSE(geometry{}.piece(0));
    CHECK_FALSE(geometry{}.block(0, 0, 1));
}

TEST_CASE("only numbers of pieces become a piece index", "[metainfo]") {
    geometry const pieces{10 * piece_length, piece_length};
    CHECK(pieces.piece(8));
    CHECK(pieces.piece(9));
    for (std::uint64_t const number :
         {std::uint64_t{10}, std::uint64_t{0xffffffff}, std::uint64_t{1} << 32, ~std::uint64_t{0}})
        CHECK_FALSE(pieces.piece(number));
}

TEST_CASE("only requests inside a piece become a block", "[metainfo]") {
    geometry const pieces{piece_length + 100, piece_length};
    constexpr auto most = std::numeric_limits<std::uint32_t>::max();
    CHECK(pieces.block(0, 0, piece_length) == block_ref{first, 0, piece_length});
    CHECK(pieces.block(0, piece_length - 1, 1));
    CHECK(pieces.block(1, 0, 100));
    CHECK(pieces.block(1, 99, 1));
    struct row {
        std::uint32_t piece, begin, length;
    };
    for (auto const& [piece, begin, length] : {
             row{0, 0, 0},
             row{0, 0, piece_length + 1},
             row{0, 1, piece_length},
             row{0, piece_length, 1},
             row{1, 0, 101},
             row{1, 100, 1},
             row{1, 99, 2},
             row{2, 0, 1},
             row{0, most, 1},
             row{0, 1, most},  // the sum leaves 32 bits
             row{0, most, most},
             row{most, 0, 1},
         }) {
        INFO(piece << ' ' << begin << ' ' << length);
        CHECK_FALSE(pieces.block(piece, begin, length));
    }
}

TEST_CASE("offsets past 4 GiB keep all their bits", "[metainfo]") {
    constexpr std::uint32_t longest = 1U << 29;
    geometry const pieces{std::uint64_t{longest} * (1U << 21), longest};
    REQUIRE(pieces.piece_count() == 1U << 21);
    auto const last = *pieces.piece(pieces.piece_count() - 1);
    CHECK(pieces.offset_of(pieces.block_at(last, pieces.block_count(last) - 1)) == pieces.total_size() - block_length);
}

TEST_CASE("ranges skip empty files and cross file borders", "[metainfo]") {
    auto const content = of_sizes(piece_length, {0, 10, 0, 0, 5, 0, 20, 0});
    using ranges = std::vector<file_range>;
    CHECK(content.ranges(0, 35) == ranges{{1, 0, 10}, {4, 0, 5}, {6, 0, 20}});
    CHECK(content.ranges(0, 10) == ranges{{1, 0, 10}});
    CHECK(content.ranges(9, 2) == ranges{{1, 9, 1}, {4, 0, 1}});
    CHECK(content.ranges(10, 5) == ranges{{4, 0, 5}});
    CHECK(content.ranges(34, 1) == ranges{{6, 19, 1}});
    CHECK(content.ranges(7, 0).empty());
    CHECK(content.ranges(35, 0).empty());
    CHECK(content.ranges(block_ref{first, 12, 5}) == ranges{{4, 2, 3}, {6, 0, 2}});
}

TEST_CASE("padding counts where it ends a piece that holds something else", "[metainfo]") {
    auto const with_pads = [](std::vector<std::uint64_t> const& sizes, std::vector<bool> const& pads) {
        std::vector<file> files;
        for (std::size_t i = 0; i < sizes.size(); ++i) {
            files.push_back(sized(sizes[i]));
            files.back().pad = pads[i];
        }
        return layout{piece_length, std::move(files)}.padding();
    };
    using by_piece = std::vector<std::uint32_t>;
    constexpr auto whole = std::uint64_t{piece_length};
    CHECK(with_pads({10, whole, 7}, {false, false, false}).empty());
    CHECK(with_pads({10, whole - 10, 3 * whole, 7}, {false, true, false, false}) ==
          by_piece{piece_length - 10, 0, 0, 0, 0});
    CHECK(with_pads({whole + 1, whole - 1, 5, 20}, {false, true, false, true}) == by_piece{0, piece_length - 1, 20});
    CHECK(with_pads({10, 20, 30}, {false, true, false}).empty());  // it ends inside a piece
    CHECK(with_pads({whole, 20}, {false, true}).empty());          // a piece of nothing else
    CHECK(with_pads({10, whole - 10, 0, whole}, {false, true, true, false}) == by_piece{piece_length - 10, 0});
    CHECK(with_pads({10, 6, whole - 16}, {false, true, true}) == by_piece{piece_length - 16});
    CHECK(with_pads({0}, {true}).empty());
}

TEST_CASE("an empty file owns no piece", "[metainfo]") {
    auto const content = of_sizes(piece_length, {0, piece_length, 0, 1, piece_length, 0});
    using span = metainfo::piece_span;
    CHECK(content.pieces_of(0) == span{});
    CHECK(content.pieces_of(1) == span{0, 1});
    CHECK(content.pieces_of(2) == span{});
    CHECK(content.pieces_of(3) == span{1, 1});
    CHECK(content.pieces_of(4) == span{1, 2});
    CHECK(content.pieces_of(5) == span{});
}

TEST_CASE("the ranges of all blocks tile every file, whatever the layout", "[metainfo]") {
    std::mt19937 random{20260101};  // the seed
    for (int round = 0; round < 300; ++round) {
        INFO("round " << round);
        std::vector<std::uint64_t> sizes(1 + random() % 40);
        for (auto& size : sizes) size = random() % 4 == 0 ? 0 : random() % (random() % 2 == 0 ? 100 : 200'000);
        sizes[random() % sizes.size()] = 1 + random() % 70'000;
        auto const content = of_sizes(1 + random() % 90'000, sizes);
        auto const& pieces = content.geometry();
        std::vector<std::uint64_t> next(sizes.size(), 0);  // the byte of each file that comes next
        bool in_order = true;
        for (std::uint32_t p = 0; p < pieces.piece_count(); ++p) {
            std::uint32_t blocks_end = 0;
            for (std::uint32_t n = 0; n < pieces.block_count(piece_index{p}); ++n) {
                auto const block = pieces.block_at(piece_index{p}, n);
                in_order = in_order && block.begin == blocks_end && pieces.block(p, block.begin, block.length) == block;
                blocks_end += block.length;
                for (auto const& range : content.ranges(block)) {
                    in_order = in_order && range.length > 0 && range.offset == next[range.file];
                    next[range.file] += range.length;
                }
            }
            in_order = in_order && blocks_end == pieces.piece_size(piece_index{p});
        }
        REQUIRE(in_order);
        REQUIRE(next == sizes);
        std::uint64_t covered = 0;
        for (std::uint32_t i = 0; i < sizes.size(); ++i) covered += content.pieces_of(i).count > 0 ? sizes[i] : 0;
        REQUIRE(covered == pieces.total_size());
    }
}
