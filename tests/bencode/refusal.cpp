#include <sys/mman.h>

#include <catch2/catch.hpp>
#include <cstddef>
#include <set>
#include <string>
#include <string_view>
#include <system_error>

import shoal.core;
import shoal.bencode;

using namespace shoal;
using namespace std::string_view_literals;
using bencode::errc;

namespace {
std::string repeated(std::string_view part, std::size_t count) {
    std::string all;
    for (std::size_t i = 0; i < count; ++i) all += part;
    return all;
}

std::error_code refusal(std::string_view input, bencode::rules accepted = {}) {
    auto const decoded = bencode::decode(as_bytes(input), accepted);
    return decoded ? std::error_code{} : decoded.error();
}
}  // namespace

TEST_CASE("input that is no value is refused by its name, strict and lenient", "[bencode]") {
    struct row {
        std::string_view input;
        errc expected;
    };
    for (auto const& [input, expected] :
         {row{"", errc::truncated}, row{"e", errc::unexpected_byte}, row{"x", errc::unexpected_byte},
          row{" i1e", errc::unexpected_byte}, row{"-1:a", errc::unexpected_byte}, row{":", errc::unexpected_byte},
          row{"\0"sv, errc::unexpected_byte}, row{"\xff", errc::unexpected_byte},
          // integers
          row{"i", errc::truncated}, row{"i-", errc::truncated}, row{"i1", errc::truncated},
          row{"i-1", errc::truncated}, row{"ie", errc::bad_integer}, row{"i-e", errc::bad_integer},
          row{"i--1e", errc::bad_integer}, row{"i+1e", errc::bad_integer}, row{"i 1e", errc::bad_integer},
          row{"i1 e", errc::bad_integer}, row{"i1.5e", errc::bad_integer}, row{"i1e5e", errc::trailing_bytes},
          row{"i0x1e", errc::bad_integer}, row{"i1-e", errc::bad_integer}, row{"iae", errc::bad_integer},
          row{"i1:", errc::bad_integer}, row{"i9223372036854775808e", errc::integer_overflow},
          row{"i-9223372036854775809e", errc::integer_overflow},
          row{"i99999999999999999999999999999999e", errc::integer_overflow},
          // strings
          row{"1", errc::truncated}, row{"1:", errc::truncated}, row{"5:abcd", errc::truncated},
          row{"1a", errc::bad_length}, row{"1;a", errc::bad_length}, row{"1 :a", errc::bad_length},
          row{"1-:a", errc::bad_length}, row{"4294967296:a", errc::truncated}, row{"4294967295:a", errc::truncated},
          row{"2147483648:a", errc::truncated}, row{"9223372036854775807:a", errc::truncated},
          row{"18446744073709551615:a", errc::truncated}, row{"18446744073709551616:a", errc::bad_length},
          row{"99999999999999999999999999999:a", errc::bad_length},
          // containers
          row{"l", errc::truncated}, row{"d", errc::truncated}, row{"li1e", errc::truncated},
          row{"d1:a", errc::truncated}, row{"d1:ai1e", errc::truncated}, row{"d1:ae", errc::unexpected_byte},
          row{"di1ei2ee", errc::key_not_string}, row{"dlei1ee", errc::key_not_string},
          row{"ddee", errc::key_not_string}, row{"d1:ai1ei2ei3ee", errc::key_not_string},
          row{"d-1:ai1ee", errc::key_not_string}, row{"l:e", errc::unexpected_byte},
          // more than one value
          row{"i1ei2e", errc::trailing_bytes}, row{"lee", errc::trailing_bytes}, row{"de\n", errc::trailing_bytes},
          row{"0:0:", errc::trailing_bytes}, row{"i1e\0"sv, errc::trailing_bytes}}) {
        CAPTURE(escaped(input));
        CHECK(refusal(input) == expected);
        CHECK(refusal(input, bencode::lenient) == expected);
        CHECK(is(refusal(input), condition::peer_fault));
    }
}

TEST_CASE("forms that are not canonical are refused where canonical form is asked for", "[bencode]") {
    struct row {
        std::string_view input;
        errc expected;
    };
    for (auto const& [input, expected] :
         {row{"i-0e", errc::bad_integer}, row{"i00e", errc::bad_integer}, row{"i03e", errc::bad_integer},
          row{"i-03e", errc::bad_integer}, row{"00:", errc::bad_length}, row{"03:abc", errc::bad_length},
          row{"d1:bi1e1:ai2ee", errc::unsorted_keys}, row{"d1:ai1e1:ai2ee", errc::unsorted_keys},
          row{"d1:ai1e0:i2ee", errc::unsorted_keys}, row{"d2:aai1e1:ai2ee", errc::unsorted_keys},
          row{"d1:\xffi1e1:ai2ee", errc::unsorted_keys}, row{"d01:ai1ee", errc::bad_length},
          row{"d1:ad1:zi1ee1:Zi1ee", errc::unsorted_keys}}) {
        CAPTURE(escaped(input));
        CHECK(refusal(input) == expected);
    }
}

TEST_CASE("keys are in order as raw bytes, in each dictionary by itself", "[bencode]") {
    CHECK_FALSE(refusal("d0:i1e1:Zi1e1:ai1e2:aai1e1:\x80i1e1:\xffi1ee"sv));
    CHECK_FALSE(refusal("d1:bd1:ai1ee1:cd1:ai1eee"sv));
    CHECK_FALSE(refusal("d1:bld1:ai1eed1:ai1eee1:ci1ee"sv));
}

TEST_CASE("a valid value cut short anywhere is truncated", "[bencode]") {
    auto const whole = "d4:infod6:lengthi1048576e4:name5:a.txte4:listl0:i-5eleee"sv;
    REQUIRE_FALSE(refusal(whole));
    for (std::size_t length = 0; length < whole.size(); ++length) {
        CAPTURE(length);
        CHECK(refusal(whole.substr(0, length)) == errc::truncated);
    }
}

TEST_CASE("depth is limited", "[bencode]") {
    for (std::size_t const limit : {bencode::rules{}.depth_max, bencode::lenient_message.depth_max, std::size_t{1}}) {
        bencode::rules const accepted{.depth_max = limit};
        for (auto const opening : {"l"sv, "d0:"sv}) {
            auto const nested = [&](std::size_t depth) {
                // the innermost dictionary needs a value too
                auto const core = opening == "l" ? ""sv : "i1e"sv;
                return repeated(opening, depth) + std::string{core} + repeated("e", depth);
            };
            CHECK_FALSE(refusal(nested(limit - 1 + (limit == 1)), accepted));
            CHECK_FALSE(refusal(nested(limit), accepted));
            CHECK(refusal(nested(limit + 1), accepted) == errc::too_deep);
        }
    }
    CHECK(refusal("le", {.depth_max = 0}) == errc::too_deep);
    CHECK_FALSE(refusal("i1e", {.depth_max = 0}));
    // depth is what is open at once: siblings do not add up
    CHECK_FALSE(refusal("l" + repeated("le", 1000) + "e", {.depth_max = 2}));
}

TEST_CASE("items are limited, keys counted", "[bencode]") {
    auto const list = [](std::size_t elements) { return "l" + repeated("0:", elements) + "e"; };
    bencode::rules const ten{.items_max = 10};
    CHECK_FALSE(refusal(list(8), ten));
    CHECK_FALSE(refusal(list(9), ten));
    CHECK(refusal(list(10), ten) == errc::too_many_items);
    bencode::rules const five{.items_max = 5};
    CHECK_FALSE(refusal("d1:ai1e1:bi1ee"sv, five));
    CHECK(refusal("d1:ai1e1:bi1e1:ci1ee"sv, five) == errc::too_many_items);
    auto const most = bencode::lenient_message.items_max;
    CHECK_FALSE(refusal(list(most - 2), bencode::lenient_message));
    CHECK_FALSE(refusal(list(most - 1), bencode::lenient_message));
    CHECK(refusal(list(most), bencode::lenient_message) == errc::too_many_items);
    auto const usual = bencode::rules{}.items_max;
    CHECK_FALSE(refusal(list(usual - 2)));
    CHECK_FALSE(refusal(list(usual - 1)));
    CHECK(refusal(list(usual)) == errc::too_many_items);
}

TEST_CASE("input past 32 bits of positions is refused at once", "[bencode]") {
    auto const size = bencode::input_max + 1;
    void* const pages = mmap(nullptr, size, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    REQUIRE(pages != MAP_FAILED);
    byte_view const zeros{static_cast<std::byte const*>(pages), size};
    CHECK(bencode::decode(zeros).error() == errc::too_large);
    CHECK(bencode::decode(zeros.first(bencode::input_max)).error() == errc::unexpected_byte);
    CHECK(bencode::decode(zeros.first(bencode::input_max - 1)).error() == errc::unexpected_byte);
    munmap(pages, size);
}

TEST_CASE("each refusal has a sentence of its own", "[bencode]") {
    std::set<std::string> sentences;
    for (int i = 1; i <= static_cast<int>(errc::trailing_bytes); ++i) {
        auto const code = make_error_code(static_cast<errc>(i));
        CHECK(code == condition::peer_fault);
        CHECK(sentences.insert(code.message()).second);
    }
    CHECK(make_error_code(errc::truncated).category().name() == "shoal.bencode"sv);
    CHECK_FALSE(sentences.contains(make_error_code(static_cast<errc>(99)).message()));
}
