#include <catch2/catch.hpp>
#include <optional>
#include <string>
#include <string_view>

import shoal.core;
import shoal.bencode;

using namespace shoal;
using namespace std::string_view_literals;

TEST_CASE("lenient rules read what is not canonical, and say so", "[bencode]") {
    for (auto const input : {"i-0e"sv, "i007e"sv, "i-07e"sv, "00:"sv, "003:abc"sv, "d1:bi1e1:ai2ee"sv,
                             "d1:ai1e1:ai2ee"sv, "ld1:bi1e1:ai2eee"sv, "d1:ai01ee"sv, "d01:ai1ee"sv}) {
        CAPTURE(input);
        auto const decoded = bencode::decode(as_bytes(input), bencode::lenient);
        REQUIRE(decoded);
        CHECK_FALSE(decoded.value().is_canonical());
        CHECK(as_text(decoded.value().root().encoded()) == input);
    }
    CHECK(bencode::decode(as_bytes("d1:ai1e1:bi2ee"sv), bencode::lenient).value().is_canonical());
}

TEST_CASE("leading zeros do not change a number or a length", "[bencode]") {
    auto const decoded = bencode::decode(as_bytes("li-007ei-0e0003:abce"sv), bencode::lenient);
    REQUIRE(decoded);
    auto item = decoded.value().root().items().begin();
    CHECK((*item).integer() == -7);
    CHECK((*++item).integer() == 0);
    CHECK((*++item).text() == "abc"sv);
}

TEST_CASE("a length has at most 20 digits, zeros counted", "[bencode]") {
    auto const with_digits = [](std::size_t digits) { return std::string(digits - 1, '0') + "1:x"; };
    for (std::size_t const digits : {19, 20}) {
        auto const input = with_digits(digits);
        auto const decoded = bencode::decode(as_bytes(input), bencode::lenient);
        REQUIRE(decoded);
        CHECK(decoded.value().root().text() == "x"sv);
    }
    CHECK(bencode::decode(as_bytes(with_digits(21)), bencode::lenient).error() == bencode::errc::bad_length);
}

TEST_CASE("of repeated keys every reader gets the first", "[bencode]") {
    auto const decoded = bencode::decode(as_bytes("d1:ai1e1:bi9e1:ai2e1:a1:xe"sv), bencode::lenient);
    REQUIRE(decoded);
    auto const root = decoded.value().root();
    CHECK(root.find_integer("a") == 1);
    CHECK_FALSE(root.find_text("a"));  // a later one of another kind does not step in
    CHECK_FALSE(root.find("a", bencode::kind::string));
}
