#include <array>
#include <catch2/catch.hpp>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string_view>

import shoal.core;

using namespace shoal;
using namespace std::string_view_literals;

namespace {
template <class T>
byte_vector written(T value) {
    byte_vector out;
    byte_writer{out}.be(value);
    return out;
}
}  // namespace

TEST_CASE("numbers are written most significant byte first, in as many bytes as their type has", "[core]") {
    CHECK(as_text(written(std::uint8_t{0xfe})) == "\xfe");
    CHECK(as_text(written(std::uint16_t{0x0102})) == "\x01\x02");
    CHECK(as_text(written(std::uint32_t{0x01020380})) == "\x01\x02\x03\x80");
    CHECK(as_text(written(std::uint64_t{0x80020304050607ffU})) == "\x80\x02\x03\x04\x05\x06\x07\xff");
}

TEMPLATE_TEST_CASE("what is written is read back, at the ends of the range too", "[core]", std::uint8_t, std::uint16_t,
                   std::uint32_t, std::uint64_t) {
    constexpr auto most = std::numeric_limits<TestType>::max();
    for (auto const value : {TestType{0}, TestType{1}, TestType{0x7f}, TestType{0x80}, TestType(most / 2),
                             TestType(most / 2 + 1), TestType(most - 1), most}) {
        auto const bytes = written(value);
        REQUIRE(bytes.size() == sizeof value);
        CHECK(load_be<TestType>(bytes) == value);
        byte_reader reader{bytes};
        CHECK(reader.take_be<TestType>() == value);
        CHECK(reader.rest().empty());
    }
}

TEST_CASE("numbers are loaded and stored in constant expressions", "[core]") {
    constexpr auto stored = [] {
        std::array<std::byte, 4> bytes{};
        store_be(mutable_byte_view{bytes}, std::uint32_t{0xc0ffee11});
        return bytes;
    }();
    static_assert(stored[0] == std::byte{0xc0} && stored[3] == std::byte{0x11});
    static_assert(load_be<std::uint32_t>(stored) == 0xc0ffee11);
    static_assert(load_be<std::uint16_t>(byte_view{stored}.subspan(1)) == 0xffee);
    SUCCEED();
}

TEST_CASE("storing a number leaves the bytes behind it alone", "[core]") {
    byte_vector bytes(4, std::byte{0xaa});
    store_be(mutable_byte_view{bytes}, std::uint16_t{0x0102});
    CHECK(as_text(bytes) == "\x01\x02\xaa\xaa");
}

TEST_CASE("a reader that has too few bytes gives nothing and keeps what it has", "[core]") {
    for (std::size_t size = 0; size <= 9; ++size) {
        byte_vector const bytes(size, std::byte{1});
        byte_reader reader{bytes};
        CHECK(reader.take_be<std::uint64_t>().has_value() == (size >= 8));
        CHECK(reader.rest().size() == (size >= 8 ? size - 8 : size));
    }
    byte_vector const bytes(8, std::byte{1});
    for (std::size_t const count : {std::size_t{9}, std::numeric_limits<std::size_t>::max()}) {
        byte_reader reader{bytes};
        CHECK_FALSE(reader.take(count));
        CHECK(reader.rest().size() == 8);
    }
}

TEST_CASE("a reader takes from the front, in order, without a copy", "[core]") {
    auto const input = as_bytes("\x05\x00\x07pay-load"sv);
    byte_reader reader{input};
    CHECK(reader.take_be<std::uint8_t>() == 5);
    CHECK(reader.take_be<std::uint16_t>() == 7);
    auto const run = reader.take(4);
    REQUIRE(run);
    CHECK(as_text(*run) == "pay-");
    CHECK(run->data() == input.data() + 3);
    CHECK(as_text(reader.rest()) == "load");
    REQUIRE(reader.take(0));
    CHECK(as_text(reader.take(4).value()) == "load");
    REQUIRE(reader.take(0));
    CHECK_FALSE(reader.take(1));
    CHECK_FALSE(reader.take_be<std::uint8_t>());
}

TEST_CASE("a writer appends to what is there", "[core]") {
    byte_vector out{std::byte{'>'}};
    byte_writer{out}.text("a\0b"sv).be(std::uint16_t{0x4142}).bytes(as_bytes("c")).text("").bytes({});
    CHECK(as_text(out) == ">a\0bABc"sv);
}

TEST_CASE("runs of bytes are equal when their length and each byte are", "[core]") {
    CHECK(equal({}, {}));
    CHECK(equal({}, as_bytes(""sv)));
    CHECK(equal(as_bytes("a\0b"sv), as_bytes("a\0b"sv)));
    CHECK_FALSE(equal(as_bytes("a\0b"sv), as_bytes("a\0c"sv)));
    CHECK_FALSE(equal(as_bytes("a"sv), as_bytes("ab"sv)));
    CHECK_FALSE(equal({}, as_bytes("\0"sv)));
}
