#include <algorithm>
#include <bit>
#include <catch2/catch.hpp>
#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <string_view>
#include <vector>

import shoal.core;
import shoal.hash;

using namespace shoal;
using namespace std::string_view_literals;

namespace {
byte_vector content(std::size_t size) {
    byte_vector bytes(size);
    for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>((i * 31 + i / 251) & 0xff);
    return bytes;
}

std::vector<sha256_digest> leaves_of(byte_view bytes) {
    std::vector<sha256_digest> leaves;
    for (; !bytes.empty(); bytes = bytes.subspan(std::min<std::size_t>(bytes.size(), block_length)))
        leaves.push_back(hash::sha256_of(bytes.first(std::min<std::size_t>(bytes.size(), block_length))));
    return leaves;
}

/// The definition of BEP 52 word for word: zero leaves up to `width`, which is a power of two, then pairs.
sha256_digest plain_root(std::vector<sha256_digest> nodes, std::size_t width) {
    nodes.resize(width);
    for (; nodes.size() > 1; nodes.resize(nodes.size() / 2))
        for (std::size_t i = 0; i < nodes.size() / 2; ++i) nodes[i] = hash::parent_of(nodes[2 * i], nodes[2 * i + 1]);
    return nodes.front();
}

std::vector<sha256_digest> layer_of(byte_view bytes, std::uint64_t blocks_in_piece) {
    std::vector<sha256_digest> layer;
    auto const leaves = leaves_of(bytes);
    for (std::span left{leaves}; !left.empty();
         left = left.subspan(std::min<std::size_t>(left.size(), blocks_in_piece)))
        layer.push_back(
            hash::merkle_root(left.first(std::min<std::size_t>(left.size(), blocks_in_piece)), 0, blocks_in_piece));
    return layer;
}
}  // namespace

TEST_CASE("roots of files are those that libtorrent and Python's hashlib compute", "[hash]") {
    struct row {
        std::size_t size;
        std::string_view root;
    };
    for (auto const& [size, root] : {row{1, "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d"},
                                     row{16383, "f8658612d0f23a5c5d5a14026b57c9ad7e20f18a135ca00dcc9568a04f5ee2e3"},
                                     row{16384, "fc8c8f45c9c079f6ce432b7d94d4f7b606ce520d2f1b01b4a9134e86917fbf49"},
                                     row{16385, "66fee656da1712caea5a5c4fac6f05fb271996abc18d81b801173b8b78fae74a"},
                                     row{32768, "49a25ee4dc17aaa5b1bc90eef1367d5987368261d391426bf42dbc28a1ce4741"},
                                     row{49152, "554c643b5bf9284c26bba7cf931b5cb7edb64ddc3646e51a68162485da4a2fa1"},
                                     row{81927, "c2509658715df6340206b7fd81f11ae99d1aaaa0cef66bcf3fe88ac99361b48c"},
                                     row{131072, "0b543e3f78e3822e3e8784e18daf9a742452a019b3448eaa22a51f647e7e0fdb"},
                                     row{147456, "2b712879e61aac2b1e8451407ae54d63f7384b3a0cc551d22af4f3484bbee923"},
                                     row{540772, "701dd3fff77e80c454dd7b020ca9a5f06f3bf14c91977928449141c5741c1fa6"}}) {
        CAPTURE(size);
        auto const bytes = content(size);
        CHECK(to_hex(hash::merkle_root(leaves_of(bytes)).view()) == root);
        hash::merkle_hasher hasher;
        hasher.update(bytes);
        CHECK(to_hex(hasher.finish().view()) == root);
    }
}

TEST_CASE("a piece layer is the one libtorrent writes and leads to the file's root", "[hash]") {
    auto const bytes = content(81927);  // pieces of 64 KiB: one full, one of a block and 7 bytes
    auto const layer = layer_of(bytes, 4);
    REQUIRE(layer.size() == 2);
    CHECK(to_hex(layer[0].view()) == "2702c874e7312dd27ab67eba828fa6e6f0c1bfdc8260257a577f1babff5bf5a9");
    CHECK(to_hex(layer[1].view()) == "147080781710fa95e4ba33c655a179a9aab79cb74acb99e18935c5241d5eec2a");
    CHECK(hash::merkle_root(layer, 2) == hash::merkle_root(leaves_of(bytes)));
}

TEST_CASE("layers of every piece length lead to the same root", "[hash]") {
    for (std::size_t blocks = 2; blocks <= 40; ++blocks) {
        auto const bytes = content((blocks - 1) * block_length + 5);
        auto const root = hash::merkle_root(leaves_of(bytes));
        for (std::size_t height = 0; (std::size_t{1} << height) < blocks; ++height) {
            CAPTURE(blocks, height);
            CHECK(hash::merkle_root(layer_of(bytes, std::uint64_t{1} << height), height) == root);
        }
    }
}

TEST_CASE("padding is the tree of zero leaves", "[hash]") {
    CHECK(hash::pad_hash(0).is_zero());
    CHECK(to_hex(hash::pad_hash(1).view()) == "f5a5fd42d16a20302798ef6ed309979b43003d2320d9f0e8ea9831a92759fb4b");
    CHECK(to_hex(hash::pad_hash(2).view()) == "db56114e00fdd4c1f85c892bf35ac9a89289aaecb1ebd0a96cde606a748b5d71");
    for (std::size_t height = 0; height < hash::height_max; ++height)
        CHECK(hash::pad_hash(height + 1) == hash::parent_of(hash::pad_hash(height), hash::pad_hash(height)));
    for (std::size_t height = 0; height < 6; ++height)
        CHECK(hash::merkle_root({}, 0, std::uint64_t{1} << height) == hash::pad_hash(height));
    CHECK(hash::merkle_root({}, 3, 4) == hash::pad_hash(5));
    CHECK(hash::merkle_root({}).is_zero());
}

TEST_CASE("roots padded to any width are those of the definition", "[hash]") {
    for (std::size_t count = 1; count <= 33; ++count) {
        auto const leaves = leaves_of(content(count * block_length));
        for (auto width = std::bit_ceil(count); width <= 128; width *= 2) {
            CAPTURE(count, width);
            CHECK(hash::merkle_root(leaves, 0, width) == plain_root(leaves, width));
        }
    }
}

TEST_CASE("left and right are not the same, nor a leaf and its parent", "[hash]") {
    auto const leaves = leaves_of(content(2 * block_length));
    CHECK(hash::parent_of(leaves[0], leaves[1]) != hash::parent_of(leaves[1], leaves[0]));
    CHECK(hash::merkle_root(std::span{leaves}.first(1)) == leaves[0]);
    CHECK(hash::merkle_root(std::span{leaves}.first(1), 0, 2) == hash::parent_of(leaves[0], hash::pad_hash(0)));
}

TEST_CASE("a wide tree over few nodes is padded without being built", "[hash]") {
    auto const leaves = leaves_of(content(3));
    auto expected = leaves[0];
    for (std::size_t height = 0; height < 40; ++height) expected = hash::parent_of(expected, hash::pad_hash(height));
    CHECK(hash::merkle_root(leaves, 0, std::uint64_t{1} << 40) == expected);
    hash::merkle_hasher hasher;
    hasher.update(content(3));
    CHECK(hasher.finish(std::uint64_t{1} << 40) == expected);
}

TEST_CASE("the hasher of a stream agrees with the tree, however the bytes are cut", "[hash]") {
    std::mt19937 source{52};
    hash::merkle_hasher hasher;  // one for all: it is as new after finish
    for (std::size_t const size : {0u, 1u, 16383u, 16384u, 16385u, 65536u, 65537u, 300'000u, 524'288u}) {
        auto const bytes = content(size);
        auto const leaves = leaves_of(bytes);
        auto const least = size == 0 ? 1 : std::bit_ceil(leaves.size());
        for (std::uint64_t const width : {std::uint64_t{0}, std::uint64_t{least}, std::uint64_t{least} * 4}) {
            CAPTURE(size, width);
            for (byte_view left{bytes}; !left.empty();) {
                auto const part = std::min<std::size_t>(left.size(), source() % 40'000);
                hasher.update(left.first(part));
                left = left.subspan(part);
            }
            CHECK(hasher.finish(width) == hash::merkle_root(leaves, 0, width));
        }
    }
}

TEST_CASE("a stream that is dropped leaves nothing behind", "[hash]") {
    hash::merkle_hasher hasher;
    hasher.update(content(100'000));
    hasher.restart();
    hasher.update(content(1));
    CHECK(hasher.finish() == hash::sha256_of(content(1)));
}
