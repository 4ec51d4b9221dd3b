#include <catch2/catch.hpp>
#include <random>

#include "conversation.hpp"

using namespace shoal;
using namespace shoal::wire;
using namespace shoal::wire::test;

namespace {
auto const unchoke = message_of(1);

byte_vector blocks(std::initializer_list<std::uint32_t> numbers) {
    byte_vector out;
    for (auto const number : numbers) {
        auto const one = piece_of(block_at(number), data_of(block_at(number)));
        out.insert(out.end(), one.begin(), one.end());
    }
    return out;
}
}  // namespace

TEST_CASE("blocks that come in order are received where they belong, without a move", "[wire]") {
    leecher to;
    REQUIRE(to.core.receive(unchoke, start));
    for (std::uint32_t i = 0; i < block_count; ++i) REQUIRE(to.request(block_at(i)));
    byte_vector all;
    for (std::uint32_t i = 0; i < block_count; ++i) {
        auto const one = blocks({i});
        all.insert(all.end(), one.begin(), one.end());
    }
    REQUIRE(to.read(all));
    auto const& told = to.told;
    REQUIRE(told.size() == 1 + block_count);
    for (std::uint32_t i = 0; i < block_count; ++i) {
        CHECK(told[i + 1] == "block " + text(block_at(i)));
        CHECK(to.holds(block_at(i)));
    }
    CHECK(to.core.counters().predicted == block_count);
    CHECK(to.core.counters().moved == 0);
    CHECK(to.core.counters().payload_received == total_size);
    CHECK(to.core.counters().protocol_received == 5 + 13 * block_count);
    CHECK(to.core.outstanding() == 0);
}

TEST_CASE("another message between the blocks moves them to where they belong", "[wire]") {
    auto const between = GENERATE(message_of(4, {3}), byte_vector(4), message_of(20, byte_vector(20'000, std::byte{1})),
                                  message_of(99, byte_vector(30'000)), range_of(6, block_at(0)));
    leecher to;
    to.core.extension_handshake({.m = {{"a", std::uint8_t{1}}}});
    REQUIRE(to.core.receive(unchoke, start));
    for (std::uint32_t i = 0; i < 6; ++i) REQUIRE(to.request(block_at(i)));
    REQUIRE(to.read(joined({blocks({0, 1}), between, blocks({2}), between, blocks({3, 4, 5})})));
    for (std::uint32_t i = 0; i < 6; ++i) CHECK(to.holds(block_at(i)));
    CHECK(to.core.counters().predicted >= 2);
    CHECK(to.core.outstanding() == 0);
}

TEST_CASE("another message that looks like the block is not taken for it", "[wire]") {
    leecher to;
    REQUIRE(to.core.receive(unchoke, start));
    REQUIRE(to.request(block_at(0)));
    auto other = piece_of(block_at(0), byte_vector(block_length, std::byte{9}));
    other[4] = std::byte{99};
    REQUIRE(to.read(other));
    CHECK(to.told == lines{"unchoked"});
    REQUIRE(to.read(blocks({0})));
    CHECK(to.told == lines{"unchoked", "block " + text(block_at(0))});
    CHECK(to.holds(block_at(0)));
}

TEST_CASE("blocks in another order than asked for are all received", "[wire]") {
    leecher to;
    REQUIRE(to.core.receive(unchoke, start));
    for (std::uint32_t i = 0; i < 8; ++i) REQUIRE(to.request(block_at(i)));
    REQUIRE(to.read(blocks({7, 6, 0, 1, 5, 3, 2, 4})));
    for (std::uint32_t i = 0; i < 8; ++i) CHECK(to.holds(block_at(i)));
    CHECK(to.core.outstanding() == 0);
}

TEST_CASE("a conversation split at every byte means the same", "[wire]") {
    byte_vector const small(100, std::byte{7});
    block_ref const last = block_at(block_count - 1);
    auto const stream = joined({message_of(20, as_bytes(std::string_view{"\0d1:md1:ai1eee", 14})), message_of(2),
                                piece_of(last, data_of(last)), message_of(17, {2}), message_of(20, as_bytes("\1hello")),
                                range_of(6, block_at(5)), byte_vector(4), message_of(99, small), message_of(0)});
    lines expected;
    for (std::size_t cut = 0; cut <= stream.size(); ++cut) {
        leecher to;
        to.core.extension_handshake({.m = {{"a", std::uint8_t{1}}}});
        to.core.unchoke();
        REQUIRE(to.core.receive(unchoke, start));
        REQUIRE(to.request(last));
        for (auto const part : {byte_view{stream}.first(cut), byte_view{stream}.subspan(cut)}) REQUIRE(to.read(part));
        CHECK(to.holds(last));
        if (cut == 0) expected = to.told;
        REQUIRE(to.told == expected);
    }
    CHECK(expected == lines{"unchoked", "extension handshake", "interested", "block " + text(last), "allowed 2",
                            "extension 1 hello of 5", "requested", "keep alive", "choked"});
}

TEST_CASE("one byte at a time is enough", "[wire]") {
    leecher to;
    REQUIRE(to.core.receive(unchoke, start));
    REQUIRE(to.request(block_at(0)));
    REQUIRE(to.request(block_at(1)));
    auto const stream = joined({blocks({0}), message_of(4, {3}), blocks({1})});
    for (auto const& byte : stream) REQUIRE(to.read(byte_view{&byte, 1}));
    CHECK(to.told == lines{"unchoked", "block " + text(block_at(0)), "have 3", "block " + text(block_at(1))});
    CHECK(to.holds(block_at(0)));
    CHECK(to.holds(block_at(1)));
}

TEST_CASE("ten thousand messages in one segment are all read", "[wire]") {
    auto with = defaults();
    with.piece_length = block_length;
    with.total_size = 10'000ULL * block_length;
    connection to{with, start};
    byte_vector stream;
    for (std::uint32_t i = 0; i < 10'000; ++i) {
        auto const have = message_of(4, {i});
        stream.insert(stream.end(), have.begin(), have.end());
    }
    REQUIRE(to.receive(stream, start));
    std::uint32_t count = 0;
    while (auto const event = to.next_event()) CHECK(to_number(std::get<event::have>(*event).piece) == count++);
    CHECK(count == 10'000);
    CHECK(to.peer_pieces().all());
}

TEST_CASE("a prepared list is never empty, has no empty place and fits", "[wire]") {
    leecher to;
    REQUIRE(to.core.receive(unchoke, start));
    for (std::uint32_t i = 0; i < block_count; ++i) REQUIRE(to.request(block_at(i)));
    for (std::size_t room : {1, 2, 3, 4, 63, 64, 65, 100}) {
        std::vector<mutable_byte_view> places(room);
        auto const count = to.core.prepare(places);
        CHECK(count >= 1);
        CHECK(count <= room);
        for (std::size_t i = 0; i < count; ++i) CHECK_FALSE(places[i].empty());
        REQUIRE(to.core.commit(0, start));
    }
}

TEST_CASE("whatever the order, the cuts and the room, reading in place and plain reading agree", "[wire]") {
    auto const seed = GENERATE(range(1U, 151U));
    CAPTURE(seed);
    std::mt19937 random{seed};
    auto const below = [&](std::size_t end) { return static_cast<std::uint32_t>(random() % end); };

    leecher in_place;
    leecher plain;
    byte_vector stream = unchoke;
    std::vector<std::uint32_t> asked;
    for (auto* to : {&in_place, &plain}) {
        if (seed % 2 == 0) to->core.extension_handshake({.m = {{"a", std::uint8_t{2}}}});
        REQUIRE(to->core.receive(stream, start));
        to->core.unchoke();
    }
    stream.clear();
    std::vector<std::uint32_t> waiting;
    std::vector<std::uint32_t> cancelled;
    for (std::uint32_t i = 0; i < block_count; ++i) {
        for (auto* to : {&in_place, &plain}) REQUIRE(to->request(block_at(i)));
        waiting.push_back(i);
    }
    for (int i = below(5); i > 0; --i) {  // some are cancelled, and come all the same
        auto const which = below(block_count);
        for (auto* to : {&in_place, &plain}) to->core.cancel(block_at(which));
        cancelled.push_back(which);
    }
    if (seed % 3 == 0) std::shuffle(waiting.begin(), waiting.end(), random);
    auto const disorder = seed % 3 == 1 ? 0.2 : 0.0;
    while (!waiting.empty()) {
        auto const choice = below(10);
        byte_vector next;
        if (choice == 0) next = message_of(4, {below(piece_count)});
        if (choice == 1) next = range_of(6, block_at(below(block_count)));
        if (choice == 2 && below(4) == 0) next = message_of(20, byte_vector(1 + below(40'000), std::byte{2}));
        if (choice == 3 && below(4) == 0) next = message_of(200, byte_vector(below(40'000), std::byte{7}));
        if (choice == 4 && below(4) == 0) next = piece_of(block_at(0), byte_vector(below(20'000)));  // perhaps unasked
        if (choice > 4) {
            auto const at = random() % 1000 < 1000 * disorder ? below(waiting.size()) : 0;
            auto const ref = block_at(waiting[at]);
            waiting.erase(waiting.begin() + at);
            next = below(20) == 0 ? range_of(16, ref) : piece_of(ref, data_of(ref));
        }
        stream.insert(stream.end(), next.begin(), next.end());
    }
    REQUIRE(plain.core.receive(stream, start));
    auto expected = events(plain.core);

    auto const typical = seed % 2 ? 2'000 : 300'000;
    for (byte_view left = stream; !left.empty();) {
        auto const count = std::min<std::size_t>(left.size(), 1 + below(typical));
        REQUIRE(in_place.read(left.first(count), 1 + below(70)));
        left = left.subspan(count);
    }
    std::erase(expected, "requested");  // how often that is told depends on the drains
    std::erase(in_place.told, "requested");
    CHECK(in_place.told == expected);
    for (auto const& line : expected)
        for (std::uint32_t i = 0; i < block_count; ++i)
            if (line == "block " + text(block_at(i))) {
                CHECK(plain.holds(block_at(i)));
                CHECK(in_place.holds(block_at(i)));
            }
    auto const& a = in_place.core.counters();
    auto const& b = plain.core.counters();
    CHECK(a.payload_received == b.payload_received);
    CHECK(a.protocol_received == b.protocol_received);
    CHECK(a.wasted == b.wasted);
    CHECK(a.predicted + a.moved == b.moved);
}
