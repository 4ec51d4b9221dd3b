#include <catch2/catch.hpp>

#include "conversation.hpp"

using namespace shoal;
using namespace shoal::wire;
using namespace shoal::wire::test;

namespace {
auto const choke = message_of(0);
auto const unchoke = message_of(1);
byte_vector piece(std::uint32_t number) {
    return piece_of(block_at(number), data_of(block_at(number)));
}
std::string line(char const* what, std::uint32_t number) {
    return what + (" " + text(block_at(number)));
}
}  // namespace

TEST_CASE("nothing is requested of a peer that chokes us, but what it allows", "[wire]") {
    leecher to;
    CHECK_FALSE(to.request(block_at(0)));
    REQUIRE(to.read(message_of(17, {2})));
    CHECK(to.told == lines{"allowed 2"});
    CHECK_FALSE(to.request(block_at(0)));
    CHECK(to.request(block_at(8)));
    CHECK(drain(to.core) == range_of(6, block_at(8)));
    REQUIRE(to.read(unchoke));
    CHECK(to.request(block_at(0)));
}

TEST_CASE("allowed pieces are bounded", "[wire]") {
    auto with = defaults();
    with.limits.allowed_fast_max = 3;
    leecher to{with};
    for (std::uint32_t i = 0; i < 5; ++i) REQUIRE(to.read(message_of(17, {i})));
    CHECK(to.told == lines{"allowed 0", "allowed 1", "allowed 2"});
    CHECK(to.request(block_at(8)));
    CHECK_FALSE(to.request(block_at(12)));
}

TEST_CASE("no more is requested than the peer queues", "[wire]") {
    auto with = defaults();
    with.limits.requests_default = 5;
    with.limits.requests_max = 8;
    leecher to{with};
    REQUIRE(to.read(unchoke));
    std::uint32_t next = 0;
    while (to.request(block_at(next))) ++next;
    CHECK(next == 5);
    CHECK(to.core.request_room() == 0);
    REQUIRE(to.read(message_of(20, as_bytes(std::string_view{"\0d4:reqqi7ee", 13}))));
    while (to.request(block_at(next))) ++next;
    CHECK(next == 7);
    REQUIRE(to.read(piece(0), 64, start + std::chrono::seconds{2}));
    CHECK(to.core.outstanding() == 6);
    CHECK(to.request(block_at(next++)));
    REQUIRE(to.read(message_of(20, as_bytes(std::string_view{"\0d4:reqqi900ee", 15})), 64,
                    start + std::chrono::seconds{5}));
    while (to.request(block_at(next))) ++next;
    CHECK(to.core.outstanding() == 8);
}

TEST_CASE("a choke without the fast extension loses all requests, and late blocks are forgiven", "[wire]") {
    auto with = without_fast();
    with.limits.unasked_blocks_max = 0;
    leecher to{with};
    REQUIRE(to.read(unchoke));
    for (std::uint32_t i = 0; i < 3; ++i) REQUIRE(to.request(block_at(i)));
    REQUIRE(to.read(joined({choke, piece(0), unchoke})));
    CHECK(to.told ==
          lines{"unchoked", "choked", line("rejected", 0), line("rejected", 1), line("rejected", 2), "unchoked"});
    CHECK_FALSE(to.holds(block_at(0)));
    CHECK(to.core.outstanding() == 0);
    CHECK(to.core.counters().wasted == block_length);
    REQUIRE(to.read(joined({piece(1), piece(2)})));
    CHECK(error_of(to.read(piece(3))) == errc::unasked_blocks);
}

TEST_CASE("a choke with the fast extension leaves requests until each is answered", "[wire]") {
    leecher to;
    REQUIRE(to.read(unchoke));
    for (std::uint32_t i = 0; i < 3; ++i) REQUIRE(to.request(block_at(i)));
    REQUIRE(to.read(joined({choke, piece(0), range_of(16, block_at(1))})));
    CHECK(to.told == lines{"unchoked", "choked", line("block", 0), line("rejected", 1)});
    CHECK(to.core.outstanding() == 1);
    REQUIRE(to.read(range_of(16, block_at(2))));
    CHECK(error_of(to.read(range_of(16, block_at(2)))) == errc::unasked_reject);
}

TEST_CASE("a reject that fits no request ends the conversation", "[wire]") {
    auto other = block_at(0);
    other.length -= 1;
    for (auto const& ref : {block_at(1), other}) {
        leecher to;
        REQUIRE(to.read(unchoke));
        REQUIRE(to.request(block_at(0)));
        CHECK(error_of(to.read(range_of(16, ref))) == errc::unasked_reject);
    }
}

TEST_CASE("a reject is forgiven of a request that was withdrawn and is not remembered any more", "[wire]") {
    auto with = defaults();
    with.limits.requests_max = 1;
    leecher to{with};
    REQUIRE(to.read(unchoke));
    for (std::uint32_t i = 0; i < 2; ++i) {
        REQUIRE(to.request(block_at(i)));
        to.core.cancel(block_at(i));
    }
    REQUIRE(to.read(range_of(16, block_at(1))));
    REQUIRE(to.read(range_of(16, block_at(0))));
    CHECK(to.told == lines{"unchoked"});
    CHECK(error_of(to.read(range_of(16, block_at(1)))) == errc::unasked_reject);
}

TEST_CASE("blocks nobody asked for are never written and end the conversation", "[wire]") {
    leecher to;
    REQUIRE(to.read(unchoke));
    REQUIRE(to.request(block_at(0)));
    byte_vector const zeros(block_length);
    block_ref const shorter{piece_index{0}, 0, block_length - 1};
    block_ref const shifted{piece_index{0}, 1, block_length};
    block_ref const empty{piece_index{0}, 0, 0};
    REQUIRE(to.core.receive(piece_of(shorter, byte_view{zeros}.first(block_length - 1)), start));
    REQUIRE(to.core.receive(piece_of(shifted, zeros), start));
    REQUIRE(to.core.receive(piece_of(empty, {}), start));
    CHECK(to.places.at(block_at(0)) == byte_vector(block_length, std::byte{0xee}));
    std::size_t more = 3;
    while (to.core.receive(piece_of(block_at(5), zeros), start)) ++more;
    CHECK(more == wire::limits{}.unasked_blocks_max);
    CHECK(to.places.at(block_at(0)) == byte_vector(block_length, std::byte{0xee}));
    CHECK(to.core.counters().payload_received == 0);
    CHECK(to.core.counters().wasted > block_length);
    CHECK(events(to.core).empty());
}

TEST_CASE("a block that comes twice counts once", "[wire]") {
    leecher to;
    REQUIRE(to.read(unchoke));
    REQUIRE(to.request(block_at(0)));
    REQUIRE(to.read(joined({piece(0), piece(0)})));
    CHECK(to.told == lines{"unchoked", line("block", 0)});
    CHECK(to.core.counters().wasted == block_length);
}

TEST_CASE("the destination of a cancelled block is free at once", "[wire]") {
    auto const with = GENERATE(0, 1) ? defaults() : without_fast();
    leecher to{with};
    REQUIRE(to.read(unchoke));
    for (std::uint32_t i = 0; i < 3; ++i) REQUIRE(to.request(block_at(i)));
    drain(to.core);
    to.core.cancel(block_at(1));
    CHECK(drain(to.core) == range_of(8, block_at(1)));
    CHECK(to.core.outstanding() == 2);
    to.core.forget(block_at(2));
    CHECK(drain(to.core).empty());
    to.core.cancel(block_at(20));  // never asked for
    CHECK(drain(to.core).empty());
    byte_vector const untouched(block_length, std::byte{0xee});
    REQUIRE(to.read(joined({piece(0), piece(1), piece(2)})));
    CHECK(to.told == lines{"unchoked", line("block", 0)});
    CHECK(to.places.at(block_at(1)) == untouched);
    CHECK(to.places.at(block_at(2)) == untouched);
    CHECK(to.core.counters().wasted == 2 * block_length);
}

TEST_CASE("a block cancelled while it arrives is thrown away from there on", "[wire]") {
    leecher to;
    REQUIRE(to.read(unchoke));
    for (std::uint32_t i = 0; i < 2; ++i) REQUIRE(to.request(block_at(i)));
    drain(to.core);
    auto const both = joined({piece(0), piece(1)});
    REQUIRE(to.read(byte_view{both}.first(1000)));
    auto const before = to.places.at(block_at(0));
    to.core.cancel(block_at(0));
    CHECK(drain(to.core).empty());
    REQUIRE(to.read(byte_view{both}.subspan(1000)));
    CHECK(to.places.at(block_at(0)) == before);
    CHECK(to.told == lines{"unchoked", line("block", 1)});
    CHECK(to.holds(block_at(1)));
}

namespace {
/// Reads the first of `stream` into what the connection prepares; how much. Not committed yet.
std::size_t read_one(connection& to, byte_view stream) {
    std::array<mutable_byte_view, 64> places;
    auto const count = to.prepare(places);
    std::size_t at = 0;
    for (std::size_t i = 0; i < count && at < stream.size(); ++i) {
        auto const part = std::min(places[i].size(), stream.size() - at);
        std::copy_n(stream.begin() + static_cast<std::ptrdiff_t>(at), part, places[i].begin());
        at += part;
    }
    return at;
}
}  // namespace

TEST_CASE("a block cancelled between prepare and commit does no harm", "[wire]") {
    leecher to;
    REQUIRE(to.read(unchoke));
    for (std::uint32_t i = 0; i < 3; ++i) REQUIRE(to.request(block_at(i)));
    auto const count = read_one(to.core, joined({piece(0), piece(1), piece(2)}));
    to.core.cancel(block_at(1));
    REQUIRE(to.request(block_at(3)));
    REQUIRE(to.core.commit(count, start));
    CHECK(events(to.core) == lines{line("block", 0), line("block", 2)});
    CHECK(to.holds(block_at(0)));
    CHECK(to.holds(block_at(2)));
    CHECK(to.core.outstanding() == 1);
}

TEST_CASE("a block that is wanted elsewhere by the time it came is where it is wanted", "[wire]") {
    leecher to;
    REQUIRE(to.read(unchoke));
    for (std::uint32_t i = 0; i < 3; ++i) REQUIRE(to.request(block_at(i)));
    auto const count = read_one(to.core, joined({piece(0), piece(1), piece(2)}));
    to.core.cancel(block_at(1));
    byte_vector elsewhere(block_length);
    REQUIRE(to.core.request(block_at(1), elsewhere, start));
    REQUIRE(to.core.commit(count, start));
    CHECK(events(to.core) == lines{line("block", 0), line("block", 1), line("block", 2)});
    CHECK(elsewhere == data_of(block_at(1)));
    CHECK(to.holds(block_at(2)));
}

TEST_CASE("a cancelled request can be made again", "[wire]") {
    leecher to;
    REQUIRE(to.read(unchoke));
    REQUIRE(to.request(block_at(0)));
    to.core.cancel(block_at(0));
    REQUIRE(to.request(block_at(0)));
    REQUIRE(to.read(range_of(16, block_at(0))));  // answers the first
    CHECK(to.core.outstanding() == 1);
    REQUIRE(to.read(piece(0)));
    CHECK(to.told == lines{"unchoked", line("block", 0)});
    CHECK(to.holds(block_at(0)));
}

TEST_CASE("a request that is never answered does not hold up the others", "[wire]") {
    auto with = defaults();
    with.piece_length = block_length;
    with.total_size = 100'000ULL * block_length;
    connection core{with, start};
    REQUIRE(core.receive(unchoke, start));
    byte_vector place(block_length);
    auto const ref = [](std::uint32_t i) { return block_ref{piece_index{i}, 0, block_length}; };
    REQUIRE(core.request(ref(0), place, start));
    byte_vector const data(block_length);
    for (std::uint32_t i = 1; i < 5000; ++i) {
        REQUIRE(core.request(ref(i), place, start));
        REQUIRE(core.receive(piece_of(ref(i), data), start));
        REQUIRE(std::get<event::block>(*[&] {
                    auto event = core.next_event();
                    while (event && !std::holds_alternative<event::block>(*event)) event = core.next_event();
                    return event;
                }())
                    .ref == ref(i));
        drain(core);
    }
    CHECK(core.outstanding() == 1);
}

TEST_CASE("a peer that sends no block is snubbed, until it sends one", "[wire]") {
    using namespace std::chrono_literals;
    leecher to;
    REQUIRE(to.read(unchoke));
    drain(to.core);
    CHECK(to.core.deadline() == start + 100s);  // nothing is asked for
    REQUIRE(to.request(block_at(0), start + 10s));
    REQUIRE(to.request(block_at(1), start + 20s));
    drain(to.core, start + 20s);
    CHECK(to.core.deadline() == start + 40s);
    REQUIRE(to.core.wake(start + 39s));
    CHECK(events(to.core).empty());
    REQUIRE(to.core.wake(start + 40s));
    CHECK(events(to.core) == lines{"snubbed"});
    CHECK(to.core.is_snubbed());
    CHECK(to.core.pipeline_depth(start + 40s) == pipeline_min);
    REQUIRE(to.core.wake(start + 60s));
    CHECK(events(to.core).empty());
    CHECK(to.core.deadline() == start + 70s);
    REQUIRE(to.core.wake(start + 70s));
    CHECK(events(to.core) == lines{"snubbed"});  // what was asked of it since then is owed as well
    to.core.forget(block_at(1));
    REQUIRE(to.read(piece(0), 64, start + 71s));
    CHECK_FALSE(to.core.is_snubbed());
    CHECK(to.core.deadline() > start + 101s);  // nothing is asked for
}

TEST_CASE("a destination that dies loses its block, not the conversation", "[wire]") {
    auto with = defaults();
    static std::byte const* dead = nullptr;
    with.copy = [](std::byte* to, std::byte const* from, std::size_t count) {
        return to == dead ? false : plain_copy(to, from, count);
    };
    leecher to{with};
    REQUIRE(to.read(unchoke));
    for (std::uint32_t i = 0; i < 3; ++i) REQUIRE(to.request(block_at(i)));
    dead = to.places.at(block_at(1)).data();
    REQUIRE(to.core.receive(joined({piece(0), piece(1), piece(2)}), start));
    CHECK(events(to.core) == lines{line("block", 0), line("block", 1) + " lost", line("block", 2)});
    dead = nullptr;
}

TEST_CASE("received bytes that cannot be read any more are a local fault", "[wire]") {
    auto with = defaults();
    with.copy = [](std::byte*, std::byte const*, std::size_t) { return false; };
    leecher to{with};
    REQUIRE(to.read(unchoke));
    REQUIRE(to.request(block_at(0)));
    auto const answer = to.read(joined({message_of(4, {1}), piece(0)}));
    CHECK(error_of(answer) == errc::dead_destination);
}

TEST_CASE("a block that came into another's place, and cannot be read there any more, is a local fault", "[wire]") {
    auto with = defaults();
    with.copy = [](std::byte* to, std::byte const* from, std::size_t count) {
        return count > 1000 ? false : plain_copy(to, from, count);
    };
    // Alone it is to be moved to its place; before the other one it is to be moved out of the way first.
    for (auto const& sent : {piece(1), joined({piece(1), piece(0)})}) {
        leecher to{with};
        REQUIRE(to.read(unchoke));
        for (std::uint32_t i = 0; i < 2; ++i) REQUIRE(to.request(block_at(i)));
        CHECK(error_of(to.read(sent)) == errc::dead_destination);
        CHECK(to.told == lines{"unchoked"});
    }
}
