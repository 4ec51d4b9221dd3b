#include <catch2/catch.hpp>
#include <cstddef>
#include <cstdlib>
#include <ctime>
#include <map>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "support/counted_heap.hpp"

import shoal.core;
import shoal.bencode;
import shoal.hash;
import shoal.metainfo;

using namespace shoal;

namespace {
/// Bytes taken at most while `input` was read and the torrent was there.
std::size_t memory_for(std::string const& input, bool& accepted) {
    auto const before = counted_heap::in_use();
    counted_heap::mark();
    auto const read = metainfo::parse_torrent(as_bytes(input));
    accepted = read.has_value();
    return counted_heap::peak() - before;
}
std::size_t memory_for(std::string const& input) {
    bool accepted = false;
    return memory_for(input, accepted);
}

std::string str(std::string_view text) {
    return std::to_string(text.size()) + ":" + std::string{text};
}
std::string v1_of(std::string const& files, std::size_t piece_count = 1) {
    return "d4:infod5:filesl" + files + "e4:name1:n12:piece lengthi16384e6:pieces" +
           str(std::string(20 * piece_count, 'x')) + "ee";
}
std::string v2_of(std::string const& tree) {
    return "d4:infod9:file treed" + tree + "e12:meta versioni2e4:name1:n12:piece lengthi16384eee";
}
std::string leaf(std::string_view name, int size) {
    auto const root = size > 0 ? "11:pieces root32:" + std::string(32, 'r') : std::string{};
    return str(name) + "d0:d6:lengthi" + std::to_string(size) + "e" + root + "ee";
}
std::string counted(int n) {
    return std::to_string(1'000'000 + n);
}  // sorts as its number does

constexpr auto bound(std::size_t input_size) {
    return 32 * input_size + (1 << 20);
}
}  // namespace

TEST_CASE("a hybrid of a hundred thousand small files is a torrent", "[metainfo]") {
    constexpr int count = 100'000;
    std::string files, tree;
    for (int i = 0; i < count; ++i) {
        files += "d6:lengthi1e4:pathl" + str(counted(i)) + "ee";
        if (i + 1 < count) files += "d4:attr1:p6:lengthi16383e4:pathl4:.pad5:16383ee";
        tree += leaf(counted(i), 1);
    }
    auto const read = metainfo::parse_torrent(as_bytes("d4:infod9:file treed" + tree + "e5:filesl" + files +
                                                       "e12:meta versioni2e4:name1:n12:piece lengthi16384e6:pieces" +
                                                       str(std::string(std::size_t{20} * count, 'x')) + "ee"));
    REQUIRE(read);
    CHECK(read.value().has_v1());
    CHECK(read.value().has_v2());
    CHECK(read.value().pieces().piece_count() == count);
}

TEST_CASE("reading takes memory by the size of the torrent, whatever it says", "[metainfo]") {
    std::map<std::string, std::string> inputs;
    auto& many_files = inputs["many small files"];
    auto& many_copies = inputs["many files of one name"];
    auto& deep_paths = inputs["paths of one-letter folders"];
    auto& many_pads = inputs["many pad files"];
    for (int i = 0; i < 10'000; ++i) {
        many_files += "d6:lengthi1e4:pathl" + str(counted(i)) + "ee";
        many_copies += "d6:lengthi0e4:pathl1:aee";
        many_pads += "d4:attr1:p6:lengthi0e4:pathl1:aee";
    }
    for (int i = 0; i < 1'000; ++i) {
        deep_paths += "d6:lengthi0e4:pathl" + str(counted(i));
        for (int depth = 0; depth < 98; ++depth) deep_paths += "1:a";
        deep_paths += "ee";
    }
    std::string const one_byte = "d6:lengthi1e4:pathl1:zee";
    many_files = v1_of(many_files);
    many_copies = v1_of(many_copies + one_byte);
    deep_paths = v1_of(deep_paths + one_byte);
    many_pads = v1_of(many_pads + one_byte);

    auto& aligned = inputs["v2 files of one byte, each with a pad file to be"];
    auto& empty = inputs["v2 empty files"];
    for (int i = 0; i < 10'000; ++i) {
        aligned += leaf(counted(i), 1);
        empty += leaf(counted(i), 0);
    }
    aligned = v2_of(aligned);
    empty = v2_of(empty + leaf("z", 1));

    auto& below = inputs["v2 files far below folders of long names"];
    std::string folders, ends;
    for (int depth = 0; depth < 7; ++depth) {
        folders += str(std::string(250, 'f')) + "d";
        ends += "e";
    }
    for (int i = 0; i < 5'000; ++i) below += leaf(counted(i), 1);
    below = v2_of(folders + below + ends);

    inputs["many items"] = "d4:info" + std::string("l") + std::string(1'000'000, 'l') + "e";
    inputs["a million empty strings"] = [] {
        std::string all = "d1:al";
        for (int i = 0; i < 1'000'000; ++i) all += "0:";
        return all + "e4:infodee";
    }();
    inputs["a claim of a terabyte"] = "d4:infod6:lengthi1099511627776e4:name1:n12:piece lengthi536870912e6:pieces" +
                                      str(std::string(20 * 2048, 'x')) + "ee";
    inputs["v2 of 2^21 pieces without layers"] =
        v2_of("1:ad0:d6:lengthi34359738368e11:pieces root32:" + std::string(32, 'r') + "ee");
    inputs["a name of a megabyte"] = "d4:infod6:lengthi5e4:name" + str(std::string(1'000'000, 'n')) +
                                     "12:piece lengthi10e6:pieces" + str(std::string(20, 'x')) + "ee";
    inputs["a piece count that is not there"] = "d4:infod6:lengthi2097152e4:name1:n12:piece lengthi1e6:pieces0:ee";

    for (auto const& [name, input] : inputs) {
        INFO(name << ", " << input.size() << " bytes");
        auto const used = memory_for(input);
        CHECK(used <= bound(input.size()));
    }
    bool accepted = false;
    memory_for(inputs["many small files"], accepted);
    CHECK(accepted);
    memory_for(inputs["v2 files of one byte, each with a pad file to be"], accepted);
    CHECK(accepted);
    memory_for(inputs["v2 files far below folders of long names"], accepted);
    CHECK_FALSE(accepted);
}

TEST_CASE("any change of a torrent is read or refused within its memory", "[metainfo]") {
    std::string const files =
        "d6:lengthi5e4:pathl1:aeed4:attr1:p6:lengthi16379e4:pathl4:.pad5:16379eed6:lengthi6e4:pathl1:bee";
    std::string const tree = leaf("a", 5) + leaf("b", 6);
    std::string const hybrid = "d8:announce8:http://a4:infod9:file treed" + tree + "e5:filesl" + files +
                               "e12:meta versioni2e4:name1:n12:piece lengthi16384e6:pieces" +
                               str(std::string(40, 'x')) + "e12:piece layersdee";
    bool accepted = false;
    memory_for(hybrid, accepted);
    REQUIRE(accepted);
    std::mt19937 random{5};
    int survivors = 0;
    for (int round = 0; round < 10'000; ++round) {
        auto changed = hybrid;
        for (auto changes = 1 + random() % 3; changes > 0; --changes) {
            auto const at = random() % changed.size();
            switch (random() % 4) {
                case 0:
                    changed[at] = static_cast<char>(random());
                    break;
                case 1:
                    changed[at] = "0123456789ilde:-"[random() % 16];
                    break;
                case 2:
                    changed.erase(at, 1 + random() % 12);
                    break;
                default:
                    changed.insert(at, changed.substr(random() % changed.size(), random() % 30));
                    break;
            }
        }
        auto const used = memory_for(changed, accepted);
        if (used > bound(changed.size())) FAIL(escaped(changed));
        survivors += accepted;
    }
    CHECK(survivors > 100);  // the changes are not all refused at the first byte
}

TEST_CASE("one layer many times, of many files, is refused before it takes memory", "[metainfo]") {
    // A file of two pieces; its layer is of 64 bytes, and `root` is what that hashes to.
    std::string const layer(64, 'l');
    auto const root = hash::merkle_root(
        std::vector{*sha256_digest::from(as_bytes(layer).first(32)), *sha256_digest::from(as_bytes(layer).last(32))},
        0);
    std::string const properties = "d0:d6:lengthi32768e11:pieces root" + str(as_text(root.view())) + "ee";
    auto const torrent_of = [&](int files, int repeats) {
        std::string tree, layers;
        for (int i = 0; i < files; ++i) tree += str(counted(i)) + properties;
        for (int i = 0; i < repeats; ++i) layers += str(as_text(root.view())) + str(layer);
        return "d4:infod9:file treed" + tree + "e12:meta versioni2e4:name1:n12:piece lengthi16384ee12:piece layersd" +
               layers + "ee";
    };
    bool accepted = false;
    auto const once = torrent_of(600, 1);
    CHECK(memory_for(once, accepted) <= bound(once.size()));
    CHECK(accepted);
    auto const many = torrent_of(600, 500);
    CHECK(memory_for(many, accepted) <= bound(many.size()));
    CHECK_FALSE(accepted);
    CHECK(metainfo::parse_torrent(as_bytes(many)).error() == metainfo::errc::repeated_key);
}

TEST_CASE("folders of long names are read once, however many files are in them", "[metainfo]") {
    // 95 folders of 16 KB each, of which nothing is left: the paths are deep, and short.
    std::string folders, ends;
    for (int depth = 0; depth < 95; ++depth) {
        folders += str(std::string(16'000, '.')) + "d";
        ends += "e";
    }
    std::string files;
    for (int i = 0; i < 7'000; ++i) files += leaf(counted(i), 1);
    auto const input = v2_of(folders + files + ends);
    auto const before = std::clock();
    auto const read = metainfo::parse_torrent(as_bytes(input));
    auto const seconds = static_cast<double>(std::clock() - before) / CLOCKS_PER_SEC;
    REQUIRE(read);
    CHECK(read.value().content().files()[0].path.size() == 96);
    CHECK(seconds < 3);  // 0.1 where nothing slows the program down; 12 when each file reads its folders again
}
