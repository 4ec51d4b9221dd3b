#include <catch2/catch.hpp>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <random>
#include <vector>

import shoal.core;

using namespace shoal;

namespace {
// Around the ends of bytes and of the words inside.
constexpr std::uint32_t sizes[]{0, 1, 2, 7, 8, 9, 15, 16, 17, 63, 64, 65, 127, 128, 129, 1000};

/// Random bits, and the same as plain booleans to compare with.
struct sample {
    bitfield bits;
    std::vector<bool> model;

    sample(std::uint32_t size, unsigned seed) : bits(size), model(size) {
        std::mt19937 random{seed};
        for (std::uint32_t i = 0; i < size; ++i)
            if (random() % 4 == 0) {
                model[i] = true;
                bits.set(piece_index{i});
            }
    }
};

byte_vector bytes_of(std::vector<bool> const& model) {
    byte_vector bytes((model.size() + 7) / 8);
    for (std::size_t i = 0; i < model.size(); ++i)
        if (model[i]) bytes[i / 8] |= std::byte{0x80} >> (i % 8);
    return bytes;
}
}  // namespace

TEST_CASE("a new bitfield is clear, or full, to its size exactly", "[core]") {
    for (auto const size : sizes) {
        CAPTURE(size);
        bitfield const clear{size}, full{size, true};
        CHECK(clear.size() == size);
        CHECK(clear.count() == 0);
        CHECK(clear.none());
        CHECK(clear.all() == (size == 0));
        CHECK(full.size() == size);
        CHECK(full.count() == size);
        CHECK(full.all());
        CHECK(full.none() == (size == 0));
        CHECK((clear == full) == (size == 0));
        CHECK(full.wire_bytes() == bytes_of(std::vector<bool>(size, true)));
        CHECK(clear.wire_bytes() == bytes_of(std::vector<bool>(size, false)));
    }
    CHECK(bitfield{} == bitfield{0});
}

TEST_CASE("piece 0 is the highest bit of the first byte", "[core]") {
    bitfield bits{10};
    bits.set(piece_index{0});
    bits.set(piece_index{9});
    CHECK(bits.wire_bytes() == byte_vector{std::byte{0x80}, std::byte{0x40}});
}

TEST_CASE("setting and clearing tells whether the bit changed, and keeps the count", "[core]") {
    for (auto const size : sizes) {
        bitfield bits{size};
        for (std::uint32_t i = 0; i < size; ++i) {
            REQUIRE_FALSE(bits.test(piece_index{i}));
            REQUIRE(bits.set(piece_index{i}));
            REQUIRE_FALSE(bits.set(piece_index{i}));
            REQUIRE(bits.test(piece_index{i}));
            REQUIRE(bits.count() == i + 1);
        }
        CHECK(bits == bitfield(size, true));
        for (std::uint32_t i = 0; i < size; ++i) {
            REQUIRE(bits.set(piece_index{i}, false));
            REQUIRE_FALSE(bits.set(piece_index{i}, false));
            REQUIRE(bits.count() == size - i - 1);
        }
        CHECK(bits == bitfield(size));
    }
}

TEST_CASE("filling sets the count and leaves no trace beyond the size", "[core]") {
    for (auto const size : sizes) {
        sample random{size, 1};
        random.bits.fill(true);
        CHECK(random.bits == bitfield(size, true));
        random.bits.fill(false);
        CHECK(random.bits == bitfield(size));
    }
}

TEST_CASE("a bitfield message is read and written as the same bytes", "[core]") {
    for (auto const size : sizes) {
        CAPTURE(size);
        sample const random{size, size};
        auto const payload = bytes_of(random.model);
        CHECK(random.bits.wire_bytes() == payload);
        auto const parsed = bitfield::parse(payload, size);
        REQUIRE(parsed);
        CHECK(*parsed == random.bits);
        CHECK(parsed->count() == random.bits.count());
    }
}

TEST_CASE("a bitfield message of another length is refused", "[core]") {
    for (auto const size : sizes) {
        auto const right = (std::size_t{size} + 7) / 8;
        for (auto const length : {right - 1, right, right + 1}) {
            if (length > right + 1) continue;  // nothing is shorter than nothing
            CHECK(bitfield::parse(byte_vector(length), size).has_value() == (length == right));
        }
    }
    CHECK_FALSE(bitfield::parse(byte_vector(16), 0xffff'ffff));
}

TEST_CASE("a bitfield message with any spare bit set is refused", "[core]") {
    for (auto const size : sizes) {
        byte_vector payload((std::size_t{size} + 7) / 8, std::byte{0});
        for (std::uint32_t bit = size; bit < payload.size() * 8; ++bit) {
            CAPTURE(size, bit);
            payload[bit / 8] = std::byte{0x80} >> (bit % 8);
            CHECK_FALSE(bitfield::parse(payload, size));
        }
    }
}

TEST_CASE("the next set bit is found from every start, the ones past the end included", "[core]") {
    for (auto const size : sizes)
        for (auto const& [bits, model] : {sample{size, 3}, sample{size, 4}}) {
            std::optional<piece_index> expected;
            CHECK_FALSE(bits.next_set(size));
            CHECK_FALSE(bits.next_set(size + 1));
            CHECK_FALSE(bits.next_set(0xffff'ffff));
            for (auto from = size; from-- > 0;) {
                if (model[from]) expected = piece_index{from};
                REQUIRE(bits.next_set(from) == expected);
            }
        }
}

TEST_CASE("the last piece alone is found across empty words", "[core]") {
    for (auto const size : sizes) {
        if (size == 0) continue;
        bitfield bits{size};
        CHECK_FALSE(bits.next_set(0));
        bits.set(piece_index{size - 1});
        CHECK(bits.next_set(0) == piece_index{size - 1});
        CHECK(bits.next_set(size - 1) == piece_index{size - 1});
    }
}

TEST_CASE("somebody has something beyond another when one bit is set there alone", "[core]") {
    for (auto const size : sizes) {
        bitfield const clear{size}, full{size, true};
        CHECK_FALSE(clear.has_beyond(full));
        CHECK_FALSE(full.has_beyond(full));
        CHECK(full.has_beyond(clear) == (size > 0));
        for (std::uint32_t i = 0; i < size; ++i) {
            auto lacking = full, single = clear;
            lacking.set(piece_index{i}, false);
            single.set(piece_index{i});
            REQUIRE(full.has_beyond(lacking));
            REQUIRE_FALSE(lacking.has_beyond(full));
            REQUIRE(single.has_beyond(lacking));
            REQUIRE(lacking.has_beyond(single) == (size > 1));
        }
    }
}
