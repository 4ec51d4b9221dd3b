#include <pthread.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstddef>
#include <cstdlib>
#include <ctime>
#include <string>
#include <string_view>
#include <system_error>

#include "support/counted_heap.hpp"

import shoal.core;
import shoal.bencode;

using namespace shoal;
using namespace std::string_view_literals;
namespace heap = counted_heap;

namespace {
struct heap_use {
    std::size_t peak, largest;
};

heap_use heap_use_of(std::string_view input, bencode::rules accepted = {}) {
    auto const before = heap::in_use();
    heap::mark();
    { auto const decoded = bencode::decode(as_bytes(input), accepted); }
    return {heap::peak() - before, heap::largest()};
}

std::string repeated(std::string_view part, std::size_t count) {
    std::string all;
    all.reserve(part.size() * count);
    for (std::size_t i = 0; i < count; ++i) all += part;
    return all;
}
}  // namespace

TEST_CASE("no memory is taken on the word of a length", "[bencode]") {
    for (auto const input : {"4294967295:a"sv, "9223372036854775807:a"sv, "18446744073709551615:a"sv,
                             "d18446744073709551615:ai1ee"sv, "l99999999999999999:"sv}) {
        CAPTURE(input);
        CHECK(heap_use_of(input).largest <= 256);
    }
}

TEST_CASE("a long string costs no memory", "[bencode]") {
    auto const input = "10000000:" + std::string(10'000'000, 'x');
    CHECK(heap_use_of(input).peak <= 256);
}

TEST_CASE("memory stays within 32 times the input and a MiB", "[bencode]") {
    for (auto const part : {"0:"sv, "le"sv, "de"sv, "i0e"sv, "d0:0:e"sv}) {
        for (std::size_t const count : {1u, 100u, 32'767u, 65'537u, 300'001u}) {
            auto const input = "l" + repeated(part, count) + "e";
            CAPTURE(part, count);
            CHECK(heap_use_of(input).peak <= 32 * input.size() + (1U << 20));
        }
    }
}

TEST_CASE("ten megabytes of empty strings are refused at the limit, quickly and in 100 MB", "[bencode]") {
    auto const input = "l" + repeated("0:", 5'000'000) + "e";
    auto const start = std::clock();
    CHECK(bencode::decode(as_bytes(input)).error() == bencode::errc::too_many_items);
    CHECK(std::clock() - start < 1 * CLOCKS_PER_SEC);  // of CPU: other programs do not count
    CHECK(heap_use_of(input).peak < 100'000'000);
}

TEST_CASE("150 000 open lists are refused on a small stack", "[bencode]") {
    struct task {
        std::string input;
        bencode::rules accepted;
        std::error_code answer;
    };
    auto const run = [](void* argument) -> void* {
        auto& work = *static_cast<task*>(argument);
        auto const decoded = bencode::decode(as_bytes(work.input), work.accepted);
        if (!decoded) work.answer = decoded.error();
        return nullptr;
    };
    for (auto const part : {"l"sv, "d0:"sv, "ld0:"sv}) {
        for (auto const& accepted : {bencode::rules{}, bencode::lenient, bencode::lenient_message}) {
            task work{repeated(part, 150'000), accepted, {}};
            CHECK(heap_use_of(work.input, accepted).peak < (1U << 20));
            pthread_attr_t attributes;
            pthread_attr_init(&attributes);
            REQUIRE(pthread_attr_setstacksize(&attributes, 32 * 1024) == 0);  // the least under the sanitizers
            pthread_t thread{};
            REQUIRE(pthread_create(&thread, &attributes, run, &work) == 0);
            pthread_join(thread, nullptr);
            pthread_attr_destroy(&attributes);
            CHECK(work.answer == bencode::errc::too_deep);
        }
    }
}

TEST_CASE("reading is linear in many keys and many levels", "[bencode]") {
    // Each of these once took quadratic time in some reader; here each is a few milliseconds.
    auto const start = std::clock();
    std::string keys = "d";
    for (int i = 0; i < 200'000; ++i) keys += "6:" + std::to_string(100'000 + i) + "0:";
    CHECK(bencode::decode(as_bytes(keys + "e")));
    auto const nested = repeated(repeated("l", 90) + repeated("e", 90), 5000);
    CHECK(bencode::decode(as_bytes("l" + nested + "e")));
    CHECK_FALSE(bencode::decode(as_bytes("i" + std::string(5'000'000, '0') + "e")));
    CHECK(bencode::decode(as_bytes("i" + std::string(5'000'000, '0') + "e"), bencode::lenient));
    CHECK_FALSE(bencode::decode(as_bytes(std::string(5'000'000, '1'))));
    CHECK(std::clock() - start < 2 * CLOCKS_PER_SEC);  // of CPU: other programs do not count
}
