#include <algorithm>
#include <array>
#include <catch2/catch.hpp>
#include <cstddef>
#include <string>
#include <string_view>

import shoal.core;
import shoal.utp;

using namespace shoal;
using namespace std::string_view_literals;

namespace {
byte_vector bytes_of(std::string_view hex) {
    std::string digits;
    std::ranges::copy_if(hex, std::back_inserter(digits), [](char c) { return c != ' '; });
    return from_hex(digits).value();
}

/// BEP 29, "header format": type and version, extension, connection_id, the two timestamps, wnd_size, seq_nr, ack_nr.
constexpr auto syn = "41 00 1234 00000001 00000000 00100000 0001 0000"sv;
constexpr auto data = "01 00 1235 89abcdef 01020304 00000400 fffe 8001 626974"sv;
/// ack_nr 7; 9 and 11 came, 8 did not; then packet 33 + 7.
constexpr auto state = "21 01 0001 00000002 00000003 00000004 0005 0007 00 04 05000080"sv;
}  // namespace

TEST_CASE("headers are read as BEP 29 has them", "[utp]") {
    auto const first = bytes_of(syn);
    auto const read_syn = utp::parse(first);
    REQUIRE(read_syn);
    CHECK(read_syn->header == utp::packet_header{utp::packet_type::syn, 0x1234, 1, 0, 1u << 20, 1, 0});
    CHECK(read_syn->payload.empty());

    auto const second = bytes_of(data);
    auto const read_data = utp::parse(second);
    REQUIRE(read_data);
    CHECK(read_data->header ==
          utp::packet_header{utp::packet_type::data, 0x1235, 0x89abcdef, 0x01020304, 1024, 0xfffe, 0x8001});
    CHECK(as_text(read_data->payload) == "bit");
    CHECK(read_data->selective_ack.empty());

    auto const third = bytes_of(state);
    auto const read_state = utp::parse(third);
    REQUIRE(read_state);
    CHECK(read_state->header.type == utp::packet_type::state);
    REQUIRE(read_state->selective_ack.size() == 4);
    CHECK(read_state->selective_ack[0] == std::byte{5});
    CHECK(read_state->selective_ack[3] == std::byte{0x80});
}

TEST_CASE("headers are written as they were read", "[utp]") {
    for (auto const hex : {syn, data, state}) {
        auto const bytes = bytes_of(hex);
        auto const read = utp::parse(bytes).value();
        std::array<std::byte, 64> place;
        auto const size = utp::write(read.header, read.selective_ack, 0, place);
        CHECK(equal(byte_view{place}.first(size), byte_view{bytes}.first(bytes.size() - read.payload.size())));
    }
}

TEST_CASE("extensions that are not known are skipped", "[utp]") {
    // one of 3 bytes, a selective ack, an empty one
    auto const bytes = bytes_of("01 37 0001 00000000 00000000 00000000 0001 0001 01 03 aabbcc 38 04 ffffffff 00 00 78");
    auto const read = utp::parse(bytes);
    REQUIRE(read);
    CHECK(read->selective_ack.size() == 4);
    CHECK(as_text(read->payload) == "x");
}

TEST_CASE("what is cut short is no packet", "[utp]") {
    auto const whole = bytes_of(state);
    for (std::size_t size = 0; size < whole.size(); ++size) {
        CHECK_FALSE(utp::parse(byte_view{whole}.first(size)));
        CHECK(utp::is_packet(byte_view{whole}.first(size)) == (size >= utp::header_length));
    }
    CHECK(utp::parse(whole));
}

TEST_CASE("other versions, types that are not known, and queries of the DHT are no packets", "[utp]") {
    auto bytes = bytes_of(syn);
    for (unsigned first = 0; first < 256; ++first) {
        bytes[0] = static_cast<std::byte>(first);
        auto const is_one = (first & 0x0f) == 1 && first >> 4 <= 4;
        CHECK(utp::is_packet(bytes) == is_one);
        CHECK(utp::parse(bytes).has_value() == is_one);
    }
    CHECK_FALSE(utp::is_packet(as_bytes("d1:ad2:id20:abcdefghij0123456789e1:q4:ping1:t2:aa1:y1:qe"sv)));
    CHECK_FALSE(utp::is_packet({}));
}

TEST_CASE("a packet is padded by extensions to the byte", "[utp]") {
    std::array<std::byte, utp::limits::datagram_max> place;
    std::array<std::byte, 8> const selective_ack{};
    for (auto const ack : {byte_view{}, byte_view{selective_ack}}) {
        auto const bare = utp::header_length + (ack.empty() ? 0 : 2 + ack.size());
        for (auto padded_to = bare + 2; padded_to <= place.size(); ++padded_to) {
            auto const size = utp::write({.seq_nr = 9}, ack, padded_to, place);
            auto const read = utp::parse(byte_view{place}.first(size));
            if (size != padded_to || !read || !read->payload.empty() || read->selective_ack.size() != ack.size())
                FAIL("padded to " << padded_to);
        }
        CHECK(utp::write({}, ack, bare + 1, place) == bare);
    }
}

TEST_CASE("every failure has a sentence and may be tried again", "[utp]") {
    for (int value = 1; value <= static_cast<int>(utp::errc::not_an_address); ++value) {
        auto const code = make_error_code(static_cast<utp::errc>(value));
        CHECK(code.message() != "unknown uTP error");
        CHECK(is(code, condition::transient));
    }
    CHECK(make_error_code(static_cast<utp::errc>(99)).message() == "unknown uTP error");
    CHECK(std::string_view{make_error_code(utp::errc::reset).category().name()} == "shoal.utp");
}
