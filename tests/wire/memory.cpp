#include <catch2/catch.hpp>
#include <cstdlib>

#include "support/counted_heap.hpp"

#include "conversation.hpp"

using namespace shoal;
using namespace shoal::wire;
using namespace shoal::wire::test;

namespace heap = counted_heap;

TEST_CASE("a steady flow of blocks allocates next to nothing, on neither end", "[wire]") {
    leecher to;
    connection from{defaults(), start};
    from.unchoke();
    drain(from);
    auto const data = data_of(block_at(0));
    for (std::uint32_t i = 0; i < 16; ++i) to.places[block_at(i)].resize(block_length);
    REQUIRE(to.core.receive(message_of(1), start));
    while (to.core.next_event()) continue;

    std::array<byte_view, 64> runs;
    std::array<mutable_byte_view, 64> places;
    auto const round = [&] {
        for (std::uint32_t i = 0; i < 16; ++i) to.core.request(block_at(i), to.places[block_at(i)], start);
        bool fine = true;
        for (auto const count = to.core.unsent(runs); auto const& run : std::span{runs}.first(count)) {
            fine = fine && from.receive(run, start);
            to.core.sent(run.size(), start);
        }
        while (from.next_event()) continue;
        while (auto const ref = from.next_upload()) from.send_block(*ref, data);
        while (auto const count = from.unsent(runs)) {
            to.core.prepare(places);
            std::size_t place = 0, bytes = 0;
            for (auto const& run : std::span{runs}.first(count))  // the first place may be a part of a header
                for (auto left = run; !left.empty();) {
                    auto const part = std::min(left.size(), places[place].size());
                    std::copy_n(left.begin(), part, places[place].begin());
                    places[place] = places[place].subspan(part);
                    place += places[place].empty();
                    left = left.subspan(part);
                    bytes += part;
                }
            from.sent(bytes, start);
            fine = fine && to.core.commit(bytes, start);
            while (to.core.next_event()) continue;
        }
        return fine;
    };
    for (int i = 0; i < 50; ++i) REQUIRE(round());
    auto const before = heap::allocations();
    bool fine = true;
    for (int i = 0; i < 1000; ++i) fine = fine && round();
    auto const after = heap::allocations();
    CHECK(fine);
    CHECK(after - before <= 10);  // of 16 000 blocks: a chunk of the outbox now and then
    CHECK(to.core.counters().moved == 0);
    CHECK(to.core.counters().predicted == 1050 * 16);
}

TEST_CASE("a quiet connection holds little, also after a busy time", "[wire]") {
    auto const before = heap::in_use();
    auto one = std::make_unique<connection>(defaults(), start);
    one->extension_handshake({.m = {{"a", std::uint8_t{1}}}});
    drain(*one);
    CHECK(heap::in_use() - before < 5 * 1024);

    byte_vector place(block_length);
    {
        byte_vector requests;
        for (std::uint32_t i = 0; i < 2000; ++i) byte_writer{requests}.bytes(range_of(6, block_at(i % block_count)));
        one->unchoke();
        REQUIRE(one->receive(requests, start));
        REQUIRE(one->receive(message_of(1), start));
        REQUIRE(one->receive(message_of(20, byte_vector(1024 * 1024 - 1, std::byte{1})), start));
        for (std::uint32_t i = 0; i < 250; ++i) REQUIRE(one->request({piece_index{0}, 0, block_length}, place, start));
        one->choke();
        drain(*one);
        for (int i = 0; i < 250; ++i) REQUIRE(one->receive(range_of(16, {piece_index{0}, 0, block_length}), start));
        while (one->next_event()) continue;
        REQUIRE(one->receive({}, start));
    }
    REQUIRE(one->wake(start + std::chrono::seconds{100}));
    drain(*one, start + std::chrono::seconds{100});
    CHECK(heap::in_use() - before - place.capacity() < 20 * 1024);
}

TEST_CASE("two hundred peers that claim long messages hold what they sent, not what they claimed", "[wire]") {
    auto const claim = [](std::uint32_t length, std::uint8_t id) {
        byte_vector out;
        byte_writer{out}.be(length).be(id);
        return out;
    };
    auto const byte = [](int value) { return byte_vector{static_cast<std::byte>(value)}; };
    constexpr std::size_t peers = 200, each_at_most = 64 * 1024;
    auto const memory_of = [&](byte_view begun) {
        auto const before = heap::in_use();
        std::size_t most = 0;
        {
            std::vector<std::unique_ptr<connection>> all(peers);
            for (auto& one : all) {
                one = std::make_unique<connection>(defaults(), start);
                one->extension_handshake({.m = {{"a", std::uint8_t{1}}}});
                drain(*one);
                REQUIRE(one->receive(begun, start));
            }
            std::array<mutable_byte_view, 64> places;
            for (int i = 0; i < 100; ++i)  // a byte at a time
                for (auto& one : all) {
                    one->prepare(places);
                    places[0][0] = std::byte{};
                    REQUIRE(one->commit(1, start));
                    while (one->next_event()) continue;
                }
            most = heap::in_use() - before;
        }
        return most;
    };
    constexpr std::uint32_t mebibyte = 1024 * 1024;
    CHECK(memory_of(joined({claim(mebibyte, 20), byte(1)})) < peers * each_at_most);
    CHECK(memory_of(joined({claim(mebibyte, 20), byte(2)})) < peers * each_at_most);
    CHECK(memory_of(joined({claim(64 * 1024, 20), byte(0)})) < peers * each_at_most);
    CHECK(memory_of(claim(mebibyte, 99)) < peers * each_at_most);
    // All of what we never asked for, and nothing is kept.
    auto const unwanted = message_of(20, byte_vector(mebibyte - 1, std::byte{2}));
    CHECK(memory_of(byte_view{unwanted}.first(unwanted.size() - 200)) < peers * each_at_most);
    // More than is ever right ends the conversation before a byte of it came.
    for (auto const& start_of :
         {claim(0xffff'ffff, 20), claim(mebibyte + 2, 20), claim(0xffff'ffff, 7), claim(0xffff'ffff, 5),
          claim(0xffff'ffff, 99), joined({claim(64 * 1024 + 3, 20), byte(0)})}) {
        connection one{defaults(), start};
        CHECK(error_of(one.receive(start_of, start)));
    }
}
