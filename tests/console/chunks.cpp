#include <algorithm>
#include <catch2/catch.hpp>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

import shoal.console;
import shoal.core;
import shoal.metainfo;

using namespace shoal;
using namespace shoal::console;

namespace {
constexpr std::uint32_t piece = 1000;

metainfo::file file(std::vector<std::string> path, std::uint64_t size, bool is_pad = false) {
    metainfo::file made;
    made.path = std::move(path);
    made.size = size;
    made.pad = is_pad;
    return made;
}
metainfo::layout layout_of(std::vector<metainfo::file> files) {
    return metainfo::layout{piece, std::move(files)};
}
bitfield having(std::uint32_t count, std::vector<std::uint32_t> const& pieces) {
    bitfield have{count};
    for (auto const each : pieces) have.set(piece_index{each});
    return have;
}
}  // namespace

TEST_CASE("with files on chunk boundaries every chunk is named after its file, from 1 on", "[console]") {
    auto const layout = layout_of({file({"file1.webm"}, 2500), file({".pad", "500"}, 500, true),
                                   file({"deep", "b"}, 1000), file({"empty"}, 0), file({"c"}, 1)});
    chunk_names const names{layout};
    std::vector<std::string> all;
    for (std::uint32_t i = 0; i < layout.geometry().piece_count(); ++i) all.push_back(names.name_of(piece_index{i}));
    CHECK(all == std::vector<std::string>{"file1.webm.part1", "file1.webm.part2", "file1.webm.part3", "deep/b.part1",
                                          "c.part1"});
    for (std::uint32_t i = 0; i < all.size(); ++i) CHECK(names.find(all[i]) == piece_index{i});
}

TEST_CASE("what is no chunk's name is not found", "[console]") {
    auto const layout = layout_of({file({"a"}, 2500), file({".pad", "500"}, 500, true), file({"a.part1"}, 10)});
    chunk_names const names{layout};
    for (auto const* wrong : {"", "a", "a.part", "a.part0", "a.part01", "a.part4", "a.part-1", "a.part1x",
                              "a.part99999999999", ".pad/500.part1", "b.part1", "a.Part1", " a.part1"})
        CHECK_FALSE(names.find(wrong));
    CHECK(names.find("a.part1") == piece_index{0});
    CHECK(names.find("a.part1.part1") == piece_index{3});
    CHECK(names.find_file("a.part1") == 2);
    CHECK_FALSE(names.find_file(".pad/500"));
}

TEST_CASE("a chunk that files share is named after the first that has bytes in it", "[console]") {
    // pieces:        |--- 0 ---|--- 1 ---|--- 2 ---|
    // a 1500, empty, b 200, c 300, d 1000
    auto const layout = layout_of({file({"a"}, 1500), file({"empty"}, 0), file({"b"}, 200), file({"c"}, 300),
                                   file({"d"}, 600), file({"e"}, 300)});
    chunk_names const names{layout};
    CHECK(names.name_of(piece_index{0}) == "a.part1");
    CHECK(names.name_of(piece_index{1}) == "a.part2");
    CHECK(names.name_of(piece_index{2}) == "d.part1");
    CHECK(names.named_after(2).count == 0);  // b lies in a.part2
    CHECK_FALSE(names.find("b.part1"));
    CHECK_FALSE(names.find("empty.part1"));
    CHECK_FALSE(names.find("e.part1"));
    auto const shifted = layout_of({file({"a"}, 1500), file({"b"}, 2500)});
    chunk_names const after{shifted};
    CHECK(after.name_of(piece_index{1}) == "a.part2");
    CHECK(after.name_of(piece_index{2}) == "b.part1");
    CHECK(after.find("b.part2") == piece_index{3});
    CHECK_FALSE(after.find("b.part3"));
}

TEST_CASE("every piece of odd layouts has one name that leads back to it", "[console]") {
    std::uint64_t seed = 7;
    auto const random = [&](std::uint64_t below) {
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        return (seed >> 33) % below;
    };
    for (int round = 0; round < 200; ++round) {
        std::vector<metainfo::file> files;
        for (std::uint64_t i = 0, n = 1 + random(8); i < n; ++i)
            files.push_back(file({"f" + std::to_string(i)}, random(3) ? random(4 * piece) : 0, random(5) == 0));
        files.push_back(file({"last"}, 1 + random(10)));
        auto const layout = layout_of(std::move(files));
        chunk_names const names{layout};
        for (std::uint32_t i = 0; i < layout.geometry().piece_count(); ++i) {
            auto const ranges = layout.ranges(std::uint64_t{i} * piece, layout.geometry().piece_size(piece_index{i}));
            auto const is_pad = [&](auto const& range) { return layout.files()[range.file].pad; };
            if (std::ranges::all_of(ranges, is_pad)) continue;  // no file's bytes: nobody's chunk
            CHECK(names.find(names.name_of(piece_index{i})) == piece_index{i});
        }
    }
}

TEST_CASE("names are shown and found escaped", "[console]") {
    auto const layout = layout_of({file({"a\x1b[2Jb"}, 10)});
    chunk_names const names{layout};
    CHECK(names.name_of(piece_index{0}) == "a\\x1b[2Jb.part1");
    CHECK(names.find("a\\x1b[2Jb.part1") == piece_index{0});
}

TEST_CASE("chunks in one line stand in ranges within their files", "[console]") {
    auto const layout = layout_of({file({"a"}, 4000), file({"b"}, 3000)});
    chunk_names const names{layout};
    CHECK(names.list({}) == "none");
    CHECK(names.list(held(having(7, {0, 1, 2, 3, 4}))) == "a.part1..part4, b.part1");
    CHECK(names.list(held(having(7, {0, 2, 3, 6}))) == "a.part1, a.part3..part4, b.part3");
    CHECK(names.list(missing(having(7, {0, 2, 3, 6}))) == "a.part2, b.part1..part2");
    auto const many = layout_of({file({"m"}, 200 * piece)});
    bitfield every_other{200};
    for (std::uint32_t i = 0; i < 200; i += 2) every_other.set(piece_index{i});
    auto const line = chunk_names{many}.list(held(every_other));
    CHECK(line.ends_with("m.part47 and 76 more"));
}

TEST_CASE("the status has a line for each chunk, by ranges where there are many", "[console]") {
    auto const few = layout_of({file({"a"}, 2000), file({"b"}, 1000)});
    CHECK(chunk_names{few}.status_lines(having(3, {1}), false) ==
          std::vector<std::string>{"a.part1: 0", "a.part2: 1", "b.part1: 0"});
    auto const many = layout_of({file({"a"}, 60 * piece), file({"b"}, 41 * piece)});
    chunk_names const names{many};
    CHECK(names.status_lines(having(101, {0, 1, 60}), false) ==
          std::vector<std::string>{"a.part1..part2: 1", "a.part3..part60: 0", "b.part1: 1", "b.part2..part41: 0"});
    CHECK(names.status_lines(having(101, {}), true).size() == 101);
    auto const limit = layout_of({file({"a"}, 100 * piece)});
    CHECK(chunk_names{limit}.status_lines(having(100, {}), false).size() == 100);
}
