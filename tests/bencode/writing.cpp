#include <catch2/catch.hpp>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>

import shoal.core;
import shoal.bencode;

using namespace shoal;
using namespace std::string_view_literals;
using bencode::encoder;

namespace {
std::string written(byte_vector const& bytes) {
    return std::string{as_text(bytes)};
}
}  // namespace

TEST_CASE("values are written in canonical form", "[bencode]") {
    CHECK(written(encoder{}.integer(0).take()) == "i0e");
    CHECK(written(encoder{}.integer(-42).take()) == "i-42e");
    CHECK(written(encoder{}.integer(std::numeric_limits<std::int64_t>::min()).take()) == "i-9223372036854775808e");
    CHECK(written(encoder{}.integer(std::numeric_limits<std::int64_t>::max()).take()) == "i9223372036854775807e");
    CHECK(written(encoder{}.text("").take()) == "0:");
    CHECK(written(encoder{}.bytes(as_bytes("a\0b"sv)).take()) == "3:a\0b"sv);
    CHECK(written(encoder{}.list().end().take()) == "le");
    CHECK(written(encoder{}.dictionary().end().take()) == "de");
    CHECK(written(encoder{}.list().text("spam").list().integer(1).end().integer(2).end().take()) == "l4:spamli1eei2ee");
    CHECK(written(encoder{}.text(std::string(100, 'x')).take()) == "100:" + std::string(100, 'x'));
}

TEST_CASE("entries of each kind stand under their keys", "[bencode]") {
    auto const bytes = encoder{}
                           .dictionary()
                           .entry("b", as_bytes("raw"sv))
                           .entry("i", 1800)
                           .key("l")
                           .list()
                           .end()
                           .entry("t", "text")
                           .end()
                           .take();
    CHECK(written(bytes) == "d1:b3:raw1:ii1800e1:lle1:t4:texte");
}

TEST_CASE("keys are sorted as raw bytes, with what they map to", "[bencode]") {
    auto const bytes = encoder{}
                           .dictionary()
                           .entry("\xff", 1)
                           .entry("b", 2)
                           .key("a")
                           .dictionary()
                           .entry("z", 3)
                           .key("y")
                           .list()
                           .text("long element")
                           .end()
                           .end()
                           .entry("", 4)
                           .entry("aa", 5)
                           .end()
                           .take();
    CHECK(written(bytes) == "d0:i4e1:ad1:yl12:long elemente1:zi3ee2:aai5e1:bi2e1:\xffi1ee");
    CHECK(bencode::decode(bytes));
}

TEST_CASE("sorting one dictionary leaves those around it alone", "[bencode]") {
    encoder out;
    out.dictionary().entry("m", 1).key("z").list();
    for (int i = 0; i < 3; ++i) out.dictionary().entry("b", i).entry("a", i).end();
    auto const bytes = out.end().entry("c", 2).end().take();
    CHECK(written(bytes) == "d1:ci2e1:mi1e1:zld1:ai0e1:bi0eed1:ai1e1:bi1eed1:ai2e1:bi2eeee");
}

TEST_CASE("a value that is encoded already is taken as it is", "[bencode]") {
    auto const info = "d4:name1:xe"sv;
    auto const bytes = encoder{}.dictionary().key("info").encoded(as_bytes(info)).entry("a", 1).end().take();
    CHECK(written(bytes) == "d1:ai1e4:infod4:name1:xee");
    // also one that no reader would take, for tests of readers
    CHECK(written(encoder{}.list().encoded(as_bytes("i-0e"sv)).end().take()) == "li-0ee");
}

TEST_CASE("an encoder can be used again after take", "[bencode]") {
    encoder out;
    CHECK(written(out.dictionary().entry("b", 1).entry("a", 2).end().take()) == "d1:ai2e1:bi1ee");
    CHECK(written(out.dictionary().entry("c", 1).end().take()) == "d1:ci1ee");
}
