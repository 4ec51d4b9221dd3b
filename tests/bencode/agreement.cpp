#include <catch2/catch.hpp>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <utility>

import shoal.core;
import shoal.bencode;

using namespace shoal;
using namespace std::string_view_literals;

// The strict reader, the lenient reader and the encoder check each other, on input made from a fixed seed.
namespace {
using generator = std::mt19937;

std::size_t below(generator& source, std::size_t limit) {
    return std::uniform_int_distribution<std::size_t>{0, limit - 1}(source);
}

void write_random(bencode::encoder& out, generator& source, std::size_t depth) {
    switch (below(source, depth < 6 ? 4 : 2)) {
        case 0:
            out.integer(static_cast<std::int64_t>(source()) - 2'000'000'000);
            break;
        case 1:
            out.text(std::string(below(source, 40), static_cast<char>(source())));
            break;
        case 2:
            out.list();
            for (auto left = below(source, 5); left > 0; --left) write_random(out, source, depth + 1);
            out.end();
            break;
        default: {
            out.dictionary();
            std::set<std::string> used;
            for (auto left = below(source, 5); left > 0; --left) {
                std::string const key(below(source, 3), static_cast<char>(source()));
                if (!used.insert(key).second) continue;
                out.key(key);
                write_random(out, source, depth + 1);
            }
            out.end();
        }
    }
}

void write_again(bencode::encoder& out, bencode::value from) {
    switch (from.type()) {
        case bencode::kind::integer:
            out.integer(*from.integer());
            break;
        case bencode::kind::string:
            out.bytes(*from.bytes());
            break;
        case bencode::kind::list:
            out.list();
            for (auto const item : from.items()) write_again(out, item);
            out.end();
            break;
        case bencode::kind::dictionary:
            out.dictionary();
            for (auto const& [key, content] : from.entries()) write_again(out.key(key), content);
            out.end();
    }
}

std::string rewritten(bencode::document const& document) {
    bencode::encoder out;
    write_again(out, document.root());
    return std::string{as_text(out.take())};
}

/// What has to hold of any input; true when strict rules read it.
bool readers_agree(std::string_view input) {
    auto const strict = bencode::decode(as_bytes(input));
    auto const lenient = bencode::decode(as_bytes(input), bencode::lenient);
    if (strict) {
        REQUIRE(lenient);
        REQUIRE(lenient.value().is_canonical());
        REQUIRE(rewritten(strict.value()) == input);  // one value has one form
    } else if (lenient) {
        REQUIRE_FALSE(lenient.value().is_canonical());
    } else {
        REQUIRE(is(lenient.error(), condition::peer_fault));
    }
    return static_cast<bool>(strict);
}
}  // namespace

TEST_CASE("what the encoder writes, strict rules read, and it is written the same again", "[bencode]") {
    generator source{20'260'101};
    for (int i = 0; i < 2000; ++i) {
        bencode::encoder out;
        write_random(out, source, 0);
        auto const bytes = out.take();
        CAPTURE(i, escaped(as_text(bytes)));
        REQUIRE(readers_agree(as_text(bytes)));
    }
}

TEST_CASE("readers agree on damaged values", "[bencode]") {
    generator source{7};
    auto const letters = "ild e0123456789:-ax"sv;
    std::size_t read = 0;
    for (int i = 0; i < 20'000; ++i) {
        bencode::encoder out;
        write_random(out, source, 3);
        auto const bytes = out.take();
        std::string input{as_text(bytes)};
        for (auto left = 1 + below(source, 3); left > 0; --left) {
            auto const at = below(source, input.size());
            switch (below(source, 3)) {
                case 0:
                    input[at] = letters[below(source, letters.size())];
                    break;
                case 1:
                    input.insert(at, 1, letters[below(source, letters.size())]);
                    break;
                default:
                    input.erase(at, 1);
            }
            if (input.empty()) input = "e";
        }
        CAPTURE(i, escaped(input));
        read += readers_agree(input);
    }
    CHECK(read > 100);  // the damage is not always fatal, so that both sides are tested
}

TEST_CASE("readers agree on every short string of the letters that matter", "[bencode]") {
    auto const letters = "lide01:-"sv;
    std::size_t read = 0;
    for (std::size_t length = 1; length <= 5; ++length) {
        std::size_t combinations = 1;
        for (std::size_t i = 0; i < length; ++i) combinations *= letters.size();
        for (std::size_t number = 0; number < combinations; ++number) {
            std::string input;
            for (auto [i, left] = std::pair{std::size_t{0}, number}; i < length; ++i, left /= letters.size())
                input += letters[left % letters.size()];
            read += readers_agree(input);
        }
    }
    CHECK(read > 20);
}
