#include <catch2/catch.hpp>
#include <optional>

#include "conversation.hpp"

using namespace shoal;
using namespace shoal::wire;
using namespace shoal::wire::test;

namespace {
constexpr std::uint32_t none = 0xffffffff;

/// What a fresh connection says to `bytes`, whole and byte by byte.
std::error_code answer(byte_view bytes, settings const& with = defaults()) {
    connection whole{with, start};
    auto const once = error_of(whole.receive(bytes, start));
    leecher slow{with};
    result<void> last = success();
    for (std::size_t i = 0; i < bytes.size() && last; ++i) last = slow.read(bytes.subspan(i, 1));
    CHECK(error_of(last) == once);
    return once;
}
byte_vector length_of(std::uint32_t length, std::optional<std::uint8_t> id = {}) {
    byte_vector out;
    byte_writer{out}.be(length);
    if (id) byte_writer{out}.be(*id);
    return out;
}
std::error_code const fine{};
}  // namespace

TEST_CASE("a message that is too long for its kind is refused before it is kept", "[wire]") {
    struct row {
        std::uint8_t id;
        std::uint32_t length;
        std::error_code expected;
    };
    auto const bounds = wire::limits{};
    auto const table = std::vector<row>{
        {7, 9 + bounds.block_max - 1, fine},
        {7, 9 + bounds.block_max, fine},
        {7, 9 + bounds.block_max + 1, errc::too_long},
        {7, none, errc::too_long},
        {7, 0x80000000, errc::too_long},
        {20, bounds.extension_max, fine},
        {20, bounds.extension_max + 1, fine},  // the id counts apart
        {20, bounds.extension_max + 2, errc::too_long},
        {20, none, errc::too_long},
        {99, bounds.unknown_max - 1, fine},
        {99, bounds.unknown_max, fine},
        {99, bounds.unknown_max + 1, errc::too_long},
        {99, none, errc::too_long},
        {99, 0x80000000, errc::too_long},
        {5, none, errc::bad_length},
        {0, none, errc::bad_length},
        {6, none, errc::bad_length},
    };
    for (auto const& [id, length, expected] : table) {
        CAPTURE(int{id}, length);
        CHECK(answer(length_of(length, id)) == expected);
    }
}

TEST_CASE("a message of a fixed length has that length", "[wire]") {
    struct row {
        std::uint8_t id;
        std::uint32_t length;
    };
    for (auto const& [id, length] : std::vector<row>{{0, 1},
                                                     {1, 1},
                                                     {2, 1},
                                                     {3, 1},
                                                     {4, 5},
                                                     {5, 3},
                                                     {6, 13},
                                                     {8, 13},
                                                     {9, 3},
                                                     {13, 5},
                                                     {14, 1},
                                                     {15, 1},
                                                     {16, 13},
                                                     {17, 5}}) {
        CAPTURE(int{id});
        if (length > 1) CHECK(answer(length_of(length - 1, id)) == errc::bad_length);
        CHECK(answer(length_of(length + 1, id)) == errc::bad_length);
        if (id != 5) CHECK(answer(length_of(length + 100, id)) == errc::bad_length);
    }
    CHECK(answer(length_of(8, 7)) == errc::bad_length);   // a block without all of its numbers
    CHECK(answer(length_of(1, 20)) == errc::bad_length);  // an extension message without its id
}

TEST_CASE("a claimed length takes no memory", "[wire]") {
    // 200 peers claim a mebibyte each and send a few bytes: what a connection holds is what came.
    std::vector<std::unique_ptr<connection>> peers;
    for (int i = 0; i < 200; ++i) {
        peers.push_back(std::make_unique<connection>(defaults(), start));
        peers.back()->extension_handshake({.m = {{"x", std::uint8_t{1}}}});
        REQUIRE(peers.back()->receive(joined({length_of(1024 * 1024, 20), byte_vector{std::byte{1}}}), start));
        std::array<mutable_byte_view, 64> places;
        auto const count = peers.back()->prepare(places);
        std::size_t room = 0;
        for (std::size_t k = 0; k < count; ++k) room += places[k].size();
        CHECK(room <= 32 * 1024);
        REQUIRE(peers.back()->commit(3, start));
    }
}

TEST_CASE("indices and ranges outside the torrent end the conversation", "[wire]") {
    constexpr std::uint32_t last = piece_count - 1;
    constexpr std::uint32_t last_size = block_length + 100;
    struct row {
        std::uint32_t piece, begin, length;
        bool inside;
    };
    auto const table = std::vector<row>{
        {0, 0, block_length, true},
        {last, 0, block_length, true},
        {last, block_length, 99, true},
        {last, block_length, 100, true},
        {last, block_length, 101, false},
        {last, last_size, 1, false},
        {last, last_size - 1, 1, true},
        {last - 1, piece_length - block_length, block_length, true},
        {last - 1, piece_length - block_length + 1, block_length, false},
        {last - 1, piece_length, 1, false},
        {piece_count, 0, block_length, false},
        {none, 0, block_length, false},
        {0x80000000, 0, block_length, false},
        {0, none, block_length, false},
        {0, none - block_length + 1, block_length, false},  // the sum wraps to 0 in 32 bits
        {0, 0x80000000, block_length, false},
        {0, piece_length, 0, true},
        {0, piece_length + 1, 0, false},
    };
    for (auto const& [piece, begin, length, inside] : table) {
        CAPTURE(piece, begin, length);
        block_ref const ref{piece_index{piece}, begin, length};
        CHECK((answer(range_of(6, ref)) == errc::out_of_range) == !inside);
        CHECK((answer(range_of(8, ref)) == errc::out_of_range) == !inside);
        CHECK((answer(range_of(16, ref)) == errc::out_of_range) == !inside);
        if (length <= block_length)
            CHECK((answer(piece_of(ref, byte_vector(length))) == errc::out_of_range) == !inside);
    }
    for (auto const id : std::vector<std::uint8_t>{4, 13, 17}) {
        CAPTURE(int{id});
        CHECK(answer(message_of(id, {0})) == fine);
        CHECK(answer(message_of(id, {last})) == fine);
        CHECK(answer(message_of(id, {piece_count})) == errc::out_of_range);
        CHECK(answer(message_of(id, {none})) == errc::out_of_range);
        CHECK(answer(message_of(id, {0x80000000})) == errc::out_of_range);
    }
}

TEST_CASE("a bitfield is exact, first, and alone", "[wire]") {
    auto const bits = [](std::initializer_list<int> bytes) {
        byte_vector payload;
        for (auto const byte : bytes) payload.push_back(static_cast<std::byte>(byte));
        return message_of(5, payload);
    };
    auto const good = bits({0xff, 0xc0});
    auto const all = message_of(14);
    auto const nothing = message_of(15);
    CHECK(answer(good) == fine);
    CHECK(answer(bits({})) == errc::bad_length);
    CHECK(answer(bits({0xff})) == errc::bad_length);
    CHECK(answer(bits({0xff, 0xc0, 0})) == errc::bad_length);
    CHECK(answer(bits({0xff, 0xe0})) == errc::bad_bitfield);
    CHECK(answer(bits({0, 1})) == errc::bad_bitfield);
    for (auto const& first : {good, all, nothing})
        for (auto const& second : {good, all, nothing}) CHECK(answer(joined({first, second})) == errc::late_bitfield);
    for (auto const& first : {message_of(4, {0}), message_of(0), message_of(1), message_of(2), message_of(17, {1}),
                              piece_of(block_at(0), data_of(block_at(0)))})
        for (auto const& second : {all, nothing}) CHECK(answer(joined({first, second})) == errc::late_bitfield);

    auto const extension = message_of(20, as_bytes(std::string_view{"\0de", 3}));
    auto const port = message_of(9, byte_vector{std::byte{1}, std::byte{2}});
    auto const unknown = message_of(21, byte_vector(48));
    for (auto const& before : {extension, port, byte_vector(4), unknown, joined({extension, port, byte_vector(4)})})
        for (auto const& first : {good, all, nothing}) CHECK(answer(joined({before, first})) == fine);
}

TEST_CASE("a bitfield may stand for many have messages, as aria2 sends it, when it only adds pieces", "[wire]") {
    auto const bits = [](int first, int second) {
        return message_of(5, byte_vector{static_cast<std::byte>(first), static_cast<std::byte>(second)});
    };
    auto const interested = message_of(2);
    auto const have = message_of(4, {0});
    CHECK(answer(joined({interested, have, bits(0xc0, 0)})) == fine);
    CHECK(answer(joined({bits(0x80, 0), interested, bits(0xc0, 0), bits(0xe0, 0)})) == fine);
    CHECK(answer(joined({interested, have, bits(0x80, 0)})) == errc::late_bitfield);           // adds nothing
    CHECK(answer(joined({interested, have, bits(0x60, 0)})) == errc::late_bitfield);           // takes piece 0 back
    CHECK(answer(joined({interested, have, bits(0xff, 0xe0)})) == errc::bad_bitfield);         // a spare bit
    CHECK(answer(joined({bits(0x80, 0), bits(0xc0, 0), interested})) == errc::late_bitfield);  // two at once

    connection leecher{defaults(), start};
    REQUIRE(leecher.receive(joined({interested, have, bits(0xc0, 0)}), start));
    std::optional<bitfield> told;
    while (auto const happened = leecher.next_event())
        if (auto const* has = std::get_if<event::has>(&*happened)) told = has->pieces;
    REQUIRE(told.has_value());
    CHECK(told->count() == 2);
}

TEST_CASE("what the peer had is told once, as it said it", "[wire]") {
    connection to{defaults(), start};
    byte_vector const two{std::byte{0x80}, std::byte{0x40}};
    REQUIRE(to.receive(message_of(5, two), start));
    auto const told = to.next_event();
    REQUIRE(told);
    auto const& pieces = std::get<event::has>(*told).pieces;
    CHECK(pieces.count() == 2);
    CHECK(pieces.test(piece_index{0}));
    CHECK(pieces.test(piece_index{9}));
    REQUIRE(to.receive(joined({message_of(4, {0}), message_of(4, {5}), message_of(4, {5})}), start));
    CHECK(events(to) == lines{"have 5"});
    CHECK(to.peer_pieces().count() == 3);
}

TEST_CASE("messages of the fast extension need the fast extension", "[wire]") {
    for (auto const& message :
         {message_of(13, {0}), message_of(14), message_of(15), range_of(16, block_at(0)), message_of(17, {0})})
        CHECK(answer(message, without_fast()) == errc::not_negotiated);
}

TEST_CASE("unknown messages are skipped, and extension messages are unknown when not negotiated", "[wire]") {
    auto with = defaults();
    with.extensions = false;
    connection to{with, start};
    byte_vector const payload(100'000);
    for (int id : {10, 11, 12, 18, 19, 20, 21, 22, 23, 200, 255})
        REQUIRE(to.receive(message_of(static_cast<std::uint8_t>(id), payload), start));
    REQUIRE(to.receive(message_of(200), start));
    REQUIRE(to.receive(message_of(1), start));
    CHECK(events(to) == lines{"unchoked"});
}

TEST_CASE("idle messages are bounded, and the bound refills with time", "[wire]") {
    auto with = defaults();
    with.limits.idle_messages = {.burst = 50, .per_second = 10};
    auto const port = message_of(9, byte_vector{std::byte{1}, std::byte{2}});
    for (auto const& message :
         {byte_vector(4), message_of(0), message_of(1), message_of(2), message_of(3), message_of(4, {1}), port,
          message_of(13, {1}), message_of(17, {1}), message_of(99), message_of(20, as_bytes("\1x")),
          message_of(20, as_bytes(std::string_view{"\0de", 3})), range_of(8, block_at(0))}) {
        connection to{with, start};
        auto const known_have = message.size() == 9 && message[4] == std::byte{4};
        for (int i = 0; i < 50 + known_have; ++i) REQUIRE(to.receive(message, start));
        CHECK(error_of(to.receive(message, start)) == errc::flood);

        connection slow{with, start};
        for (int i = 0; i < 500; ++i) REQUIRE(slow.receive(message, start + i * std::chrono::milliseconds{100}));
    }
}

TEST_CASE("a million keep-alives end the conversation", "[wire]") {
    connection to{defaults(), start};
    byte_vector const many(4 * 1000);
    int rounds = 0;
    while (to.receive(many, start)) {
        events(to);
        REQUIRE(++rounds < 1000);
    }
    CHECK(rounds >= 10);  // ten thousand are still fine
}

TEST_CASE("an error of the peer is a fault of the peer", "[wire]") {
    for (int value = 1; value <= static_cast<int>(errc::dead_destination); ++value) {
        auto const code = make_error_code(static_cast<errc>(value));
        CAPTURE(code.message());
        CHECK(code.message() != "unknown wire error");
        auto const expected =
            value >= static_cast<int>(errc::silent)
                ? (value == static_cast<int>(errc::dead_destination) ? condition::local_fault : condition::transient)
                : condition::peer_fault;
        CHECK(shoal::is(code, expected));
    }
}

TEST_CASE("whether a peer is interested is told when it changes", "[wire]") {
    leecher to;
    REQUIRE(to.read(joined({message_of(3), message_of(2), message_of(2), message_of(3), message_of(3)})));
    CHECK(to.told == lines{"interested", "not interested"});
}

TEST_CASE("a port of a DHT node is told of, and no port is none", "[wire]") {
    leecher to;
    REQUIRE(to.read(message_of(9, byte_vector{std::byte{1}, std::byte{2}})));
    REQUIRE(to.read(message_of(9, byte_vector(2))));
    CHECK(to.told == lines{"port 258"});
}
