#include <catch2/catch.hpp>

#include "conversation.hpp"

using namespace shoal;
using namespace shoal::wire;

namespace {
wire::handshake some() {
    wire::handshake out;
    out.hash.bytes.fill(std::byte{'h'});
    out.id.bytes.fill(std::byte{'i'});
    return out;
}
}  // namespace

TEST_CASE("a handshake is read as it was written, with every combination of reserved bits", "[wire]") {
    for (int bits = 0; bits < 8; ++bits) {
        auto said = some();
        said.fast = bits & 1;
        said.extensions = bits & 2;
        said.v2 = bits & 4;
        auto const heard = parse_handshake(encode(said));
        REQUIRE(heard);
        CHECK(heard.value() == said);
    }
}

TEST_CASE("a handshake has the layout of BEP 3", "[wire]") {
    auto const bytes = encode(some());
    CHECK(as_text(bytes) == std::string("\x13"
                                        "BitTorrent protocol\0\0\0\0\0\x10\0\x04",
                                        28) +
                                std::string(20, 'h') + std::string(20, 'i'));
}

TEST_CASE("reserved bits that nobody defined do not matter", "[wire]") {
    auto bytes = encode(some());
    for (std::size_t i = 20; i < 28; ++i) bytes[i] = std::byte{0xff};
    auto const heard = parse_handshake(bytes);
    REQUIRE(heard);
    CHECK(heard.value().hash == some().hash);
    CHECK(heard.value().v2);
}

TEST_CASE("what cannot become a handshake is refused at its first wrong byte", "[wire]") {
    auto const good = encode(some());
    for (std::size_t i = 0; i <= good.size(); ++i) CHECK(is_handshake_start(byte_view{good}.first(i)));
    for (std::size_t i = 0; i < 20; ++i) {
        auto bad = good;
        bad[i] ^= std::byte{0x20};
        CHECK(is_handshake_start(byte_view{bad}.first(i)));
        CHECK_FALSE(is_handshake_start(byte_view{bad}.first(i + 1)));
        CHECK(parse_handshake(bad).error() == errc::not_bittorrent);
    }
    using namespace std::string_literals;
    for (auto const& other : {"GET / HTTP/1.1\r\n"s, "\x16\x03\x01\x02"s, "\0BitTorrent"s, "\xff"s,
                              "\x13"
                              "BitTorrent Protocol"s})
        CHECK_FALSE(is_handshake_start(as_bytes(other)));
}

TEST_CASE("a handshake cut at any length or longer than 68 bytes is refused", "[wire]") {
    auto const good = encode(some());
    for (std::size_t i = 0; i < good.size(); ++i)
        CHECK(parse_handshake(byte_view{good}.first(i)).error() == errc::not_bittorrent);
    byte_vector longer(good.begin(), good.end());
    longer.push_back(std::byte{});
    CHECK(parse_handshake(longer).error() == errc::not_bittorrent);
}
