#include <catch2/catch.hpp>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

import shoal.core;
import shoal.bencode;

using namespace shoal;
using namespace std::string_view_literals;

TEST_CASE("integers are read to the ends of 64 bits", "[bencode]") {
    struct row {
        std::string_view input;
        std::int64_t expected;
    };
    for (auto const& [input, expected] : {row{"i0e", 0}, row{"i3e", 3}, row{"i-3e", -3}, row{"i10e", 10},
                                          row{"i9223372036854775807e", std::numeric_limits<std::int64_t>::max()},
                                          row{"i-9223372036854775808e", std::numeric_limits<std::int64_t>::min()}}) {
        CAPTURE(input);
        auto const decoded = bencode::decode(as_bytes(input));
        REQUIRE(decoded);
        CHECK(decoded.value().root().type() == bencode::kind::integer);
        CHECK(decoded.value().root().integer() == expected);
        CHECK(decoded.value().is_canonical());
    }
}

TEST_CASE("strings are any bytes, in place", "[bencode]") {
    auto const input = "5:a\0b\xff:"sv;
    auto const decoded = bencode::decode(as_bytes(input));
    REQUIRE(decoded);
    auto const root = decoded.value().root();
    CHECK(root.text() == "a\0b\xff:"sv);
    CHECK(root.bytes().value().data() == as_bytes(input).data() + 2);
    auto const empty = bencode::decode(as_bytes("0:"sv));
    REQUIRE(empty);
    CHECK(empty.value().root().text() == ""sv);
}

TEST_CASE("a list gives its elements in order, nested ones whole", "[bencode]") {
    auto const decoded = bencode::decode(as_bytes("l4:spamli1ei2eed1:ki3eei7ee"sv));
    REQUIRE(decoded);
    auto const items = decoded.value().root().items();
    std::vector<bencode::value> const values(items.begin(), items.end());
    REQUIRE(values.size() == 4);
    CHECK(values[0].text() == "spam"sv);
    CHECK(as_text(values[1].encoded()) == "li1ei2ee");
    CHECK(values[2].find_integer("k") == 3);
    CHECK(values[3].integer() == 7);
}

TEST_CASE("a dictionary gives its pairs in order and finds its keys", "[bencode]") {
    auto const decoded = bencode::decode(as_bytes("d3:cow3:moo4:infod1:xi1ee4:listl1:aee"sv));
    REQUIRE(decoded);
    auto const root = decoded.value().root();
    std::string keys;
    for (auto const& [key, content] : root.entries()) keys += std::string{key} + ";";
    CHECK(keys == "cow;info;list;");
    CHECK(root.find_text("cow") == "moo"sv);
    CHECK(as_text(root.find("info").value().encoded()) == "d1:xi1ee");
    CHECK(root.find("list", bencode::kind::list));
    CHECK_FALSE(root.find("list", bencode::kind::dictionary));
    CHECK_FALSE(root.find("absent"));
    CHECK_FALSE(root.find(""));
}

TEST_CASE("a value asked for another kind answers nothing", "[bencode]") {
    auto const decoded = bencode::decode(as_bytes("d1:di1e1:li2e1:s1:xe"sv));
    REQUIRE(decoded);
    auto const root = decoded.value().root();
    CHECK_FALSE(root.integer());
    CHECK_FALSE(root.bytes());
    CHECK_FALSE(root.text());
    CHECK(root.items().empty());
    CHECK_FALSE(root.find_integer("s"));
    CHECK_FALSE(root.find_text("d"));
    CHECK_FALSE(root.find_bytes("l"));
    auto const number = root.find("d").value();
    CHECK(number.entries().empty());
    CHECK(number.items().empty());
    CHECK_FALSE(number.find("x"));
    CHECK_FALSE(number.text());
    CHECK_FALSE(root.find("s").value().integer());
}

TEST_CASE("empty containers are empty", "[bencode]") {
    for (auto const input : {"le"sv, "de"sv}) {
        auto const decoded = bencode::decode(as_bytes(input));
        REQUIRE(decoded);
        CHECK(decoded.value().root().items().empty());
        CHECK(decoded.value().root().entries().empty());
        CHECK(as_text(decoded.value().root().encoded()) == input);
    }
}

TEST_CASE("values stay valid when their document moves", "[bencode]") {
    auto decoded = bencode::decode(as_bytes("d1:ai1ee"sv));
    REQUIRE(decoded);
    auto const root = decoded.value().root();
    bencode::document const moved = std::move(decoded).value();
    CHECK(root.find_integer("a") == 1);
    CHECK(moved.root().find_integer("a") == 1);
}

TEST_CASE("a prefix is read and what follows it is left alone", "[bencode]") {
    auto const input = "d8:msg_typei1ee\x00piece data: i03e"sv;
    auto const decoded = bencode::decode_prefix(as_bytes(input));
    REQUIRE(decoded);
    CHECK(as_text(decoded.value().root().encoded()) == "d8:msg_typei1ee");
    CHECK(bencode::decode(as_bytes(input)).error() == bencode::errc::trailing_bytes);
}
