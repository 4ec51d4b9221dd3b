#include <catch2/catch.hpp>
#include <cstddef>
#include <functional>
#include <optional>
#include <string_view>
#include <type_traits>

import shoal.core;

using namespace shoal;
using namespace std::string_view_literals;

namespace {
constexpr auto digits = "01234567890123456789"sv;
}

TEST_CASE("an identifier is made of exactly as many bytes as it has", "[core]") {
    for (std::size_t size = 0; size <= 40; ++size) {
        byte_vector bytes(size, std::byte{7});
        CHECK(info_hash::from(bytes).has_value() == (size == 20));
        CHECK(sha256_digest::from(bytes).has_value() == (size == 32));
    }
    CHECK(info_hash::size() == 20);
    CHECK(as_text(info_hash::from(as_bytes(digits)).value().view()) == digits);
}

TEST_CASE("kinds of identifier cannot be taken for one another", "[core]") {
    static_assert(!std::is_convertible_v<info_hash, peer_id> && !std::is_constructible_v<peer_id, info_hash>);
    static_assert(!std::is_convertible_v<sha1_digest, info_hash> && !std::is_assignable_v<info_hash&, sha1_digest>);
    static_assert(!std::is_convertible_v<unsigned, piece_index> && !std::is_convertible_v<piece_index, unsigned>);
    SUCCEED();
}

TEST_CASE("an identifier is zero until a single bit of it is set", "[core]") {
    CHECK(peer_id{}.is_zero());
    for (std::size_t i = 0; i < peer_id::size(); ++i) {
        peer_id id;
        id.bytes[i] = std::byte{1};
        CHECK_FALSE(id.is_zero());
        CHECK(id != peer_id{});
    }
}

TEST_CASE("identifiers are ordered as their bytes, which are unsigned", "[core]") {
    info_hash low, high, last;
    low.bytes[0] = std::byte{0x7f};
    high.bytes[0] = std::byte{0x80};
    last.bytes[19] = std::byte{0xff};
    CHECK(low < high);
    CHECK(last < low);
    CHECK(info_hash{} < last);
}

TEST_CASE("equal identifiers have equal hashes, and the first bytes tell others apart", "[core]") {
    auto const id = info_hash::from(as_bytes(digits)).value();
    auto other = id;
    CHECK(std::hash<info_hash>{}(id) == std::hash<info_hash>{}(other));
    other.bytes[0] = std::byte{0xff};
    CHECK(std::hash<info_hash>{}(id) != std::hash<info_hash>{}(other));
    CHECK(std::hash<piece_index>{}(piece_index{1}) != std::hash<piece_index>{}(piece_index{2}));
}

TEST_CASE("blocks are ordered by piece, then offset, then length", "[core]") {
    CHECK(block_ref{piece_index{1}, block_length, 1} < block_ref{piece_index{2}, 0, 1});
    CHECK(block_ref{piece_index{1}, 0, 2} < block_ref{piece_index{1}, 1, 1});
    CHECK(block_ref{piece_index{1}, 0, 1} < block_ref{piece_index{1}, 0, 2});
    CHECK(block_ref{piece_index{1}, 0, 1} == block_ref{piece_index{1}, 0, 1});
    CHECK(to_number(piece_index{0xffff'ffff}) == 0xffff'ffff);
}
