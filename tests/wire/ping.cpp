#include <array>
#include <catch2/catch.hpp>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

import shoal.core;
import shoal.wire;

using namespace shoal;

TEST_CASE("a ping and its answer are read as they were written", "[wire]") {
    for (bool const is_answer : {false, true}) {
        wire::ping_message const ping{is_answer, 0x0123'4567'89ab'cdef};
        auto const bytes = wire::encode(ping);
        CHECK(bytes.size() == wire::ping_length);
        CHECK(bytes[8] == std::byte{0xef});
        CHECK(wire::parse_ping(bytes) == ping);
    }
}

TEST_CASE("what is no ping is none", "[wire]") {
    auto const good = wire::encode(wire::ping_message{});
    byte_vector longer(good.begin(), good.end());
    longer.push_back(std::byte{0});
    CHECK_FALSE(wire::parse_ping(longer));
    CHECK_FALSE(wire::parse_ping(byte_view{good}.first(wire::ping_length - 1)));
    CHECK_FALSE(wire::parse_ping({}));
    longer.assign(good.begin(), good.end());
    longer[0] = std::byte{2};
    CHECK_FALSE(wire::parse_ping(longer));
}
