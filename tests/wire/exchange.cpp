#include <catch2/catch.hpp>
#include <cstdint>
#include <string>
#include <vector>

import shoal.bencode;
import shoal.core;
import shoal.wire;

using namespace shoal;
using wire::exchange_message;

namespace {
endpoint at(char const* text) {
    return *endpoint::parse(text);
}
std::string bytes(std::size_t count) {
    std::string text;
    for (std::size_t i = 0; i < count; ++i) text += static_cast<char>('a' + i % 26);
    return text;
}
}  // namespace

TEST_CASE("peers that peers tell of are read as they were written", "[exchange]") {
    exchange_message const message{{{at("192.0.2.1:6881"), true, false},
                                    {at("198.51.100.7:51413"), false, true},
                                    {at("[2001:db8::1]:6881"), true, true}},
                                   {{at("192.0.2.9:1")}, {at("[2001:db8::2]:2")}}};
    CHECK(wire::parse_exchange(wire::encode(message)) == message);
    CHECK(wire::parse_exchange(wire::encode(exchange_message{})) == exchange_message{});
}

TEST_CASE("lists that cannot be right are left out", "[exchange]") {
    auto const read = [](std::string const& text) { return wire::parse_exchange(as_bytes(text)); };
    CHECK_FALSE(read(""));
    CHECK_FALSE(read("i5e"));
    CHECK_FALSE(read("le"));
    CHECK_FALSE(read(std::string(16'000, 'l')));
    REQUIRE(read("de"));
    CHECK(read("d5:addedi7ee")->added.empty());
    CHECK(read("d5:added5:" + bytes(5) + "e")->added.empty());
    CHECK(read("d5:added7:" + bytes(7) + "e")->added.empty());
    CHECK(read("d6:added619:" + bytes(19) + "e")->added.empty());
    CHECK(read("d5:added6:" + bytes(6) + "e")->added.size() == 1);
    CHECK(read("d5:added6:" + bytes(6) + "7:added.f0:e")->added.size() == 1);
    CHECK(read(std::string{"d5:added6:abcd\0\0e", 17})->added.empty());  // port 0
    CHECK(read("d7:dropped12:" + bytes(12) + "e")->dropped.size() == 2);
}

TEST_CASE("no more peers are read than a message may have", "[exchange]") {
    auto const read = wire::parse_exchange(as_bytes("d5:added6000:" + bytes(6'000) + "6:added618000:" + bytes(18'000) +
                                                    "7:dropped6000:" + bytes(6'000) + "e"));
    REQUIRE(read);
    CHECK(read->added.size() == wire::exchanged_max);
    CHECK(read->dropped.size() == wire::exchanged_max);
}
