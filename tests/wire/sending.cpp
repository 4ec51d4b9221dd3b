#include <catch2/catch.hpp>

#include "conversation.hpp"

using namespace shoal;
using namespace shoal::wire;
using namespace shoal::wire::test;
using namespace std::chrono_literals;

TEST_CASE("messages have the layout of BEP 3 and 6", "[wire]") {
    connection from{defaults(), start};
    from.interested();
    from.not_interested();
    from.unchoke();
    from.choke();
    from.have(piece_index{7});
    from.reject({piece_index{1}, 2, 3});
    CHECK(to_hex(drain(from)) ==
          "0000000102"
          "0000000103"
          "0000000101"
          "0000000100"
          "000000050400000007"
          "0000000d10000000010000000200000003");
}

TEST_CASE("a state that does not change is not told", "[wire]") {
    connection from{defaults(), start};
    from.choke();
    from.not_interested();
    CHECK(from.unsent_bytes() == 0);
    from.unchoke();
    from.unchoke();
    from.interested();
    from.interested();
    CHECK(drain(from) == joined({message_of(1), message_of(2)}));
    CHECK_FALSE(from.is_choking());
    CHECK(from.is_interested());
}

TEST_CASE("what we have is told in the shortest form", "[wire]") {
    bitfield some{piece_count};
    some.set(piece_index{0});
    some.set(piece_index{9});
    bitfield const all{piece_count, true};
    bitfield const nothing{piece_count};
    byte_vector const one{std::byte{0x80}, std::byte{0x40}};
    byte_vector const ones{std::byte{0xff}, std::byte{0xc0}};
    auto const said = [](settings const& with, bitfield const& pieces) {
        connection from{with, start};
        from.send_bitfield(pieces);
        return drain(from);
    };
    CHECK(said(defaults(), some) == message_of(5, one));
    CHECK(said(defaults(), all) == message_of(14));
    CHECK(said(defaults(), nothing) == message_of(15));
    CHECK(said(without_fast(), some) == message_of(5, one));
    CHECK(said(without_fast(), all) == message_of(5, ones));
    CHECK(said(without_fast(), nothing).empty());
}

TEST_CASE("without the fast extension there is no reject, without the other no extension message", "[wire]") {
    auto with = without_fast();
    with.extensions = false;
    connection from{with, start};
    from.reject(block_at(0));
    from.extension_handshake({});
    from.extension_message(1, as_bytes("x"));
    CHECK(from.unsent_bytes() == 0);
}

TEST_CASE("blocks leave without a copy, between the messages, and are counted when they are gone", "[wire]") {
    connection from{defaults(), start};
    auto const first = data_of(block_at(0));
    auto const second = data_of(block_at(37));
    from.have(piece_index{1});
    from.send_block(block_at(0), first);
    from.send_block(block_at(37), second);
    from.have(piece_index{2});
    std::array<byte_view, 8> runs;
    REQUIRE(from.unsent(runs) == 5);
    CHECK(runs[0].size() == 9 + 13);
    CHECK(runs[1].data() == first.data());
    CHECK(runs[2].size() == 13);
    CHECK(runs[3].data() == second.data());
    CHECK(runs[4].size() == 9);
    CHECK(from.unsent(std::span{runs}.first(2)) == 2);
    auto const expected =
        joined({message_of(4, {1}), piece_of(block_at(0), first), piece_of(block_at(37), second), message_of(4, {2})});
    CHECK(from.unsent_bytes() == expected.size());

    auto const step = GENERATE(1, 13, 1000, 16'384 + 13, 100'000);
    byte_vector sent;
    while (auto const count = from.unsent(runs)) {
        std::size_t left = static_cast<std::size_t>(step);
        auto const before = sent.size();
        for (auto const& run : std::span{runs}.first(count)) {
            auto const part = run.first(std::min(left, run.size()));
            sent.insert(sent.end(), part.begin(), part.end());
            left -= part.size();
        }
        from.sent(sent.size() - before, start);
        CHECK(from.unsent_bytes() == expected.size() - sent.size());
        CHECK(from.blocks_sent() == (sent.size() >= 9 + 13 + first.size()) + (sent.size() >= expected.size() - 9));
    }
    CHECK(sent == expected);
    CHECK(from.counters().payload_sent == first.size() + second.size());
    CHECK(from.counters().protocol_sent == expected.size() - first.size() - second.size());
}

TEST_CASE("bytes that were shown stay in place while more is added", "[wire]") {
    connection from{defaults(), start};
    from.have(piece_index{1});
    std::array<byte_view, 4> runs;
    REQUIRE(from.unsent(runs) == 1);
    auto const before = byte_vector(runs[0].begin(), runs[0].end());
    auto const* const place = runs[0].data();
    for (int i = 0; i < 10'000; ++i) from.have(piece_index{2});
    std::array<byte_view, 4> again;
    REQUIRE(from.unsent(again) == 4);
    CHECK(again[0].data() == place);
    CHECK(equal(again[0].first(before.size()), before));
    from.sent(before.size(), start);
    byte_vector expected;
    for (int i = 0; i < 10'000; ++i) {
        auto const one = message_of(4, {2});
        expected.insert(expected.end(), one.begin(), one.end());
    }
    CHECK(drain(from) == expected);
}

TEST_CASE("a quiet connection says that it is alive", "[wire]") {
    connection from{defaults(), start};
    CHECK(from.deadline() == start + 100s);
    REQUIRE(from.wake(start + 99s));
    CHECK(from.unsent_bytes() == 0);
    REQUIRE(from.wake(start + 100s));
    CHECK(from.deadline() > start + 100s);
    CHECK(drain(from, start + 101s) == byte_vector(4));
    CHECK(from.deadline() == start + 180s);  // the peer's silence comes first
    REQUIRE(from.receive(byte_vector(4), start + 120s));
    CHECK(from.deadline() == start + 201s);
    CHECK(events(from) == lines{"keep alive"});
}

TEST_CASE("a silent peer is given up", "[wire]") {
    connection from{defaults(), start};
    REQUIRE(from.receive(byte_vector(1), start + 50s));  // one byte is a sign of life
    REQUIRE(from.wake(start + 229s));
    CHECK(error_of(from.wake(start + 230s)) == errc::silent);
}

TEST_CASE("a peer that takes no bytes is given up", "[wire]") {
    connection from{defaults(), start};
    from.unchoke();
    REQUIRE(from.wake(start + 1s));
    CHECK(from.deadline() == start + 121s);
    from.sent(2, start + 60s);
    REQUIRE(from.receive(byte_vector(4), start + 100s));
    REQUIRE(from.wake(start + 179s));
    CHECK(error_of(from.wake(start + 180s)) == errc::stalled);
}

TEST_CASE("waking never leaves a deadline that has passed", "[wire]") {
    leecher to;
    REQUIRE(to.read(message_of(1)));
    REQUIRE(to.request(block_at(0)));
    auto now = start;
    for (int i = 0; i < 1000; ++i) {
        auto const next = to.core.deadline();
        REQUIRE(next >= now);
        now = next;
        if (!to.core.wake(now)) break;
        REQUIRE(to.core.deadline() > now);
    }
    CHECK(now - start == 120s);  // its request was never taken
}
