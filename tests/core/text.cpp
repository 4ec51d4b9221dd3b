#include <catch2/catch.hpp>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

import shoal.core;

using namespace shoal;
using namespace std::string_view_literals;

namespace {
/// Whether a terminal shows each character of `text` as itself.
bool is_harmless(std::string_view text) {
    while (!text.empty()) {
        auto const c = take_code_point(text);
        if (!c || *c < 0x20 || (*c >= 0x7f && *c < 0xa0) || is_invisible(*c)) return false;
    }
    return true;
}
}  // namespace

TEST_CASE("plain text of any script is escaped to itself", "[core]") {
    for (auto const text : {""sv, "name.iso"sv, "a b~!\"'%$`"sv, "Größe"sv, "файл"sv, "文件"sv, "ملف"sv, "קובץ"sv,
                            "\U0001f600"sv, "e\u0301"sv, "\u00a0"sv}) {
        CHECK(escaped(text) == text);
        CHECK(is_valid_utf8(text));
    }
}

TEST_CASE("what a terminal would obey, or an eye would miss, is escaped", "[core]") {
    struct row {
        std::string_view text, expected;
    };
    for (auto const& [text, expected] : {
             row{"\\", "\\\\"},
             row{"\\x1b", "\\\\x1b"},
             row{"\n", "\\x0a"},
             row{"a\r\nb\tc", "a\\x0d\\x0ab\\x09c"},
             row{"\0"sv, "\\x00"},
             row{"a\0b"sv, "a\\x00b"},
             row{"\x1b[2J", "\\x1b[2J"},                   // clears the screen
             row{"\x1b]0;title\a", "\\x1b]0;title\\x07"},  // names the window
             row{"\x7f", "\\x7f"},                         // DEL
             row{"\u009b2J", "\\x9b2J"},                   // C1: CSI
             row{"\u0085", "\\x85"},                       // C1: next line
             row{"\u00ad", "\\u{00ad}"},                   // soft hyphen
             row{"exe\u202egpj.", "exe\\u{202e}gpj."},     // right-to-left override
             row{"\u202a\u2066\u2069\u200f\u061c", "\\u{202a}\\u{2066}\\u{2069}\\u{200f}\\u{061c}"},
             row{"a\u200bb", "a\\u{200b}b"},  // zero-width space
             row{"\u200d\u2060\ufeff", "\\u{200d}\\u{2060}\\u{feff}"},
             row{"\u2028\u2029", "\\u{2028}\\u{2029}"},  // line and paragraph separator
             row{"\u3164", "\\u{3164}"},                 // Hangul filler
             row{"\U000e0041", "\\u{e0041}"},            // tag letter
             row{"\U0001d173", "\\u{1d173}"},            // musical symbol begin beam
         }) {
        CHECK(escaped(text) == expected);
    }
}

TEST_CASE("bytes that are not UTF-8 are escaped one by one and hide nothing behind them", "[core]") {
    struct row {
        std::string_view text, expected;
    };
    for (auto const& [text, expected] : {
             row{"\x80", "\\x80"},                                      // continuation without a lead
             row{"\xff\xfe", "\\xff\\xfe"},                             // never in UTF-8
             row{"\xc3(", "\\xc3("},                                    // lead without continuation
             row{"\xe2\x82", "\\xe2\\x82"},                             // cut off
             row{"\xf0\x9f\x98", "\\xf0\\x9f\\x98"},                    // cut off
             row{"\xe2\x82\x1b[m", "\\xe2\\x82\\x1b[m"},                // an escape where a continuation is due
             row{"\xf0\x9f\xc3\xa4", "\\xf0\\x9f\xc3\xa4"},             // the next character stays whole
             row{"\xc0\x80", "\\xc0\\x80"},                             // overlong NUL
             row{"\xc1\x9c", "\\xc1\\x9c"},                             // overlong backslash
             row{"\xe0\x80\x9b", "\\xe0\\x80\\x9b"},                    // overlong ESC
             row{"\xe0\x9f\xbf", "\\xe0\\x9f\\xbf"},                    // overlong U+07FF
             row{"\xf0\x8f\xbf\xbf", "\\xf0\\x8f\\xbf\\xbf"},           // overlong U+FFFF
             row{"\xed\xa0\x80", "\\xed\\xa0\\x80"},                    // first surrogate
             row{"\xed\xbf\xbf", "\\xed\\xbf\\xbf"},                    // last surrogate
             row{"\xf4\x90\x80\x80", "\\xf4\\x90\\x80\\x80"},           // U+110000
             row{"\xf5\x80\x80\x80", "\\xf5\\x80\\x80\\x80"},           // a lead that no code point has
             row{"\xf8\x88\x80\x80\x80", "\\xf8\\x88\\x80\\x80\\x80"},  // five bytes
         }) {
        CHECK(escaped(text) == expected);
        CHECK_FALSE(is_valid_utf8(text));
        CHECK_FALSE(is_valid_utf8("ok " + std::string{text}));
    }
}

TEST_CASE("the outcome of escaping is valid UTF-8 without a control character, for every pair of bytes", "[core]") {
    for (unsigned pair = 0; pair < 0x10000; ++pair) {
        std::string const text{static_cast<char>(pair >> 8), static_cast<char>(pair & 0xff)};
        if (!is_harmless(escaped(text))) FAIL("bytes " << pair);
    }
    SUCCEED();
}

TEST_CASE("every code point is written as UTF-8 that reads back as itself, and surrogates do not read", "[core]") {
    for (char32_t c = 0; c <= 0x10ffff; ++c) {
        std::string text;
        append_utf8(text, c);
        std::size_t const length = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
        std::string_view left = text;
        auto const taken = take_code_point(left);
        bool const is_surrogate = c >= 0xd800 && c < 0xe000;
        bool const is_right = is_surrogate ? !taken && left == text : taken == c && left.empty();
        if (!is_right || text.size() != length) FAIL("code point " << static_cast<std::uint32_t>(c));
    }
    SUCCEED();
}

TEST_CASE("a code point is taken off the front, and text that does not start with one stays", "[core]") {
    auto text = "ä\xff"sv;
    CHECK(take_code_point(text) == U'ä');
    CHECK(text == "\xff"sv);
    CHECK_FALSE(take_code_point(text));
    CHECK(text == "\xff"sv);
    text = {};
    CHECK_FALSE(take_code_point(text));
    CHECK(is_valid_utf8(""));
}

TEST_CASE("the code points that Unicode calls ignorable, and those that turn or break a line, are invisible",
          "[core]") {
    struct range {
        char32_t first, last;
    };
    // Default_Ignorable_Code_Point of DerivedCoreProperties, bidi controls (BidiControl of PropList), separators.
    for (auto const [first, last] :
         {range{0xad, 0xad}, range{0x34f, 0x34f}, range{0x61c, 0x61c}, range{0x115f, 0x1160}, range{0x17b4, 0x17b5},
          range{0x180b, 0x180f}, range{0x200b, 0x200f}, range{0x2028, 0x202e}, range{0x2060, 0x206f},
          range{0x3164, 0x3164}, range{0xfe00, 0xfe0f}, range{0xfeff, 0xfeff}, range{0xffa0, 0xffa0},
          range{0xfff0, 0xfff8}, range{0x1bca0, 0x1bca3}, range{0x1d173, 0x1d17a}, range{0xe0000, 0xe0fff}}) {
        for (auto c = first; c <= last; ++c) {
            CAPTURE(static_cast<std::uint32_t>(c));
            REQUIRE(is_invisible(c));
        }
        CAPTURE(static_cast<std::uint32_t>(first));
        CHECK_FALSE(is_invisible(first - 1));
        if (last != 0xfff8) CHECK_FALSE(is_invisible(last + 1));  // interlinear annotation follows
    }
    for (auto const c : {U' ', U'a', U'ä', U'ש', U'ع', U'中', U'\u0301', U'\u00a0', U'\ufffd', U'\U0001f600'})
        CHECK_FALSE(is_invisible(c));
}

TEST_CASE("bytes and hexadecimal digits name each other", "[core]") {
    byte_vector all;
    for (int i = 0; i < 256; ++i) all.push_back(static_cast<std::byte>(i));
    CHECK(to_hex(all).substr(0, 8) == "00010203");
    CHECK(to_hex(all).substr(504) == "fcfdfeff");
    CHECK(from_hex(to_hex(all)) == all);
    CHECK(from_hex("aAfF09") == byte_vector{std::byte{0xaa}, std::byte{0xff}, std::byte{0x09}});
    CHECK(to_hex({}).empty());
    CHECK(from_hex("") == byte_vector{});
    for (auto const text : {"a"sv, "abc"sv, "0x"sv, "g0"sv, "0g"sv, " 0"sv, "0 "sv, "/0"sv, ":0"sv, "@0"sv, "`0"sv,
                            "G0"sv, "-1"sv, "0\0"sv, "\xc3\xa4"sv})
        CHECK_FALSE(from_hex(text));
}
