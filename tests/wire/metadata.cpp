#include <algorithm>
#include <catch2/catch.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

import shoal.bencode;
import shoal.core;
import shoal.wire;

using namespace shoal;
using namespace std::chrono_literals;
using wire::errc;
using wire::metadata_exchange;
using wire::metadata_message;
using kind = metadata_message::kind;

namespace {
time_point const start{};

byte_vector numbered(std::size_t size) {
    byte_vector bytes(size);
    for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(i * 7 + i / 251);
    return bytes;
}

/// One message as it goes over the wire.
byte_vector framed(std::uint8_t id, byte_view payload) {
    byte_vector out(6);
    store_be(mutable_byte_view{out}, static_cast<std::uint32_t>(payload.size() + 2));
    out[4] = std::byte{20};
    out[5] = std::byte{id};
    out.insert(out.end(), payload.begin(), payload.end());
    return out;
}

byte_vector handshake(std::optional<std::int64_t> size, std::uint8_t id = 7) {
    bencode::encoder out;
    out.dictionary().key("m").dictionary().entry("ut_metadata", std::int64_t{id}).end();
    if (size) out.entry("metadata_size", *size);
    return framed(0, out.end().take());
}

byte_vector data(byte_view info, std::uint32_t piece) {
    metadata_message message{kind::data, piece};
    message.total_size = static_cast<std::uint32_t>(info.size());
    message.data = info.subspan(std::size_t{piece} * wire::metadata_piece_length,
                                wire::metadata_piece_size(*message.total_size, piece));
    return framed(1, wire::encode(message));  // 1 is what the exchange asks to be sent under
}

/// What an exchange has said since it was asked last.
std::vector<std::pair<std::uint8_t, byte_vector>> said_by(metadata_exchange& from) {
    std::vector<std::pair<std::uint8_t, byte_vector>> all;
    auto rest = from.unsent();
    while (!rest.empty()) {
        auto const length = load_be<std::uint32_t>(rest);
        CHECK(rest[4] == std::byte{20});
        auto const payload = rest.subspan(6, length - 2);
        all.emplace_back(std::to_integer<std::uint8_t>(rest[5]), byte_vector(payload.begin(), payload.end()));
        rest = rest.subspan(4 + length);
    }
    from.sent(from.unsent().size());
    return all;
}

/// Pieces that it asks for.
std::vector<std::uint32_t> asked_by(metadata_exchange& from) {
    std::vector<std::uint32_t> pieces;
    for (auto const& [id, payload] : said_by(from)) {
        CHECK(id == 7);
        auto const message = wire::parse_metadata_message(payload);
        REQUIRE(message);
        CHECK(message->what == kind::request);
        pieces.push_back(message->piece);
    }
    return pieces;
}

/// One that has shaken hands with a peer that has `size` bytes.
metadata_exchange begun(std::int64_t size) {
    metadata_exchange made{{}, start};
    (void)said_by(made);
    CHECK(made.receive(handshake(size), start));
    return made;
}
}  // namespace

TEST_CASE("an info dictionary comes in pieces, in any order, cut anywhere", "[metadata]") {
    for (std::size_t const size : {1, 100, 16'384, 16'385, 40'000, 300'000}) {
        for (std::size_t const cut : {1, 7, 5'000, 1'000'000}) {
            if (cut == 1 && size > 20'000) continue;
            CAPTURE(size, cut);
            auto const info = numbered(size);
            auto exchange = begun(static_cast<std::int64_t>(size));
            CHECK(exchange.size() == size);
            std::vector<std::uint32_t> asked;
            while (!exchange.complete()) {
                for (auto const piece : asked_by(exchange)) asked.push_back(piece);
                REQUIRE_FALSE(asked.empty());
                CHECK(asked.size() <= wire::metadata_requests_max);
                auto const message = data(info, asked.back());  // the last asked for comes first
                asked.pop_back();
                for (byte_view rest = message; !rest.empty();) {
                    auto const count = std::min(cut, rest.size());
                    REQUIRE(exchange.receive(rest.first(count), start));
                    rest = rest.subspan(count);
                }
            }
            CHECK(exchange.take() == info);
        }
    }
}

TEST_CASE("what else a peer says is passed over", "[metadata]") {
    auto const info = numbered(100);
    auto exchange = begun(100);
    CHECK(asked_by(exchange) == std::vector<std::uint32_t>{0});
    byte_vector noise{std::byte{0}, std::byte{0}, std::byte{0}, std::byte{0},                 // keep-alive
                      std::byte{0}, std::byte{0}, std::byte{0}, std::byte{1}, std::byte{1}};  // unchoke
    byte_vector bitfield(4 + 1 + 200'000);
    store_be(mutable_byte_view{bitfield}, std::uint32_t{200'001});
    bitfield[4] = std::byte{5};
    noise.insert(noise.end(), bitfield.begin(), bitfield.end());
    auto const other = framed(3, numbered(500));  // of an extension that we never offered
    noise.insert(noise.end(), other.begin(), other.end());
    CHECK(exchange.receive(noise, start));
    CHECK(exchange.receive(data(info, 0), start));
    CHECK(exchange.take() == info);
}

TEST_CASE("a peer that asks for metadata itself is told that we have none", "[metadata]") {
    auto exchange = begun(100);
    (void)said_by(exchange);
    CHECK(exchange.receive(framed(1, wire::encode(metadata_message{kind::request, 5})), start));
    auto const said = said_by(exchange);
    REQUIRE(said.size() == 1);
    auto const answer = wire::parse_metadata_message(said.front().second);
    REQUIRE(answer);
    CHECK(answer->what == kind::reject);
    CHECK(answer->piece == 5);
}

TEST_CASE("a size that no info dictionary has ends the conversation before memory is taken", "[metadata]") {
    struct row {
        std::optional<std::int64_t> size;
        std::optional<errc> end;
    };
    auto const max = std::int64_t{wire::metadata_size_max};
    for (auto const& [size, end] :
         {row{std::nullopt, errc::no_metadata}, row{-1, errc::no_metadata}, row{0, errc::no_metadata},
          row{1, std::nullopt}, row{max - 1, std::nullopt}, row{max, std::nullopt}, row{max + 1, errc::bad_metadata},
          row{std::int64_t{1} << 31, errc::bad_metadata}, row{std::int64_t{1} << 40, errc::no_metadata}}) {
        CAPTURE(size.value_or(-999));
        metadata_exchange exchange{{}, start};
        auto const heard = exchange.receive(handshake(size), start);
        CHECK(heard.has_value() == !end.has_value());
        if (end) CHECK(heard.error() == *end);
    }
}

TEST_CASE("an answer that cannot be right ends the conversation", "[metadata]") {
    auto const info = numbered(40'000);
    auto const end_after = [&](byte_vector const& message) -> std::error_code {
        auto exchange = begun(40'000);
        auto const heard = exchange.receive(message, start);
        CHECK_FALSE(exchange.complete());
        return heard ? std::error_code{} : heard.error();
    };
    auto const of = [&](metadata_message message) { return framed(1, wire::encode(message)); };
    auto const whole = byte_view{info}.first(wire::metadata_piece_length);
    CHECK(end_after(of({kind::data, 0, 40'000, whole})) == std::error_code{});
    CHECK(end_after(of({kind::data, 0, {}, whole})) == std::error_code{});
    CHECK(end_after(of({kind::reject, 0})) == errc::no_metadata);
    CHECK(end_after(of({kind::data, 0, 39'999, whole})) == errc::bad_metadata);             // another size than it said
    CHECK(end_after(of({kind::data, 0, 40'000, whole.first(100)})) == errc::bad_metadata);  // too short
    CHECK(end_after(of({kind::data, 2, 40'000, whole})) == errc::bad_metadata);             // too long for the last
    CHECK(end_after(of({kind::data, 3, 40'000, whole})) == errc::bad_metadata);             // no such piece
    CHECK(end_after(of({kind::data, UINT32_MAX, 40'000, whole})) == errc::bad_metadata);
    CHECK(end_after(of({kind::reject, 3})) == errc::bad_metadata);  // of what was never asked for
    CHECK(end_after(framed(1, as_bytes("no dictionary"))) == errc::bad_metadata);
    CHECK(end_after(framed(1, as_bytes("d8:msg_typei9e5:piecei0ee"))) == errc::bad_metadata);
    CHECK(end_after(framed(1, as_bytes("d8:msg_typei1e5:piecei-1ee"))) == errc::bad_metadata);
    CHECK(end_after(handshake(40'001)) == errc::bad_metadata);  // changes its mind about the size
    CHECK(end_after(handshake(40'000)) == std::error_code{});
    byte_vector endless{std::byte{255}, std::byte{255}, std::byte{255}, std::byte{255}, std::byte{20}, std::byte{1}};
    CHECK(end_after(endless) == errc::too_long);
    byte_vector long_piece(6);
    store_be(mutable_byte_view{long_piece}, std::uint32_t{wire::metadata_piece_length + 4096});
    long_piece[4] = std::byte{20};
    long_piece[5] = std::byte{1};
    CHECK(end_after(long_piece) == errc::too_long);

    auto twice = begun(40'000);
    CHECK(twice.receive(data(info, 0), start));
    CHECK(twice.receive(data(info, 0), start).error() == errc::bad_metadata);
    metadata_exchange early{{}, start};
    CHECK(early.receive(data(info, 0), start).error() == errc::bad_metadata);
}

TEST_CASE("nested bencode of a peer costs no stack and little memory", "[metadata]") {
    auto exchange = begun(100);
    std::string const deep(16'000, 'l');
    CHECK(exchange.receive(framed(1, as_bytes(deep)), start).error() == errc::bad_metadata);
    metadata_exchange other{{}, start};
    CHECK(other.receive(framed(0, as_bytes(deep)), start).error() == errc::bad_extension_handshake);
}

TEST_CASE("a peer that floods is given up", "[metadata]") {
    auto exchange = begun(100);
    byte_vector bitfield(4 + 1 + 1'000'000);
    store_be(mutable_byte_view{bitfield}, std::uint32_t{1'000'001});
    bitfield[4] = std::byte{5};
    result<void> heard = success();
    int count = 0;
    for (; heard && count < 100; ++count) heard = exchange.receive(bitfield, start);
    REQUIRE_FALSE(heard);
    CHECK(heard.error() == errc::flood);
    CHECK(count <= 5);

    auto asked = begun(100);  // never reads our refusals
    heard = success();
    for (count = 0; heard && count < 10'000; ++count)
        heard = asked.receive(framed(1, wire::encode(metadata_message{kind::request, 0})), start);
    REQUIRE_FALSE(heard);
    CHECK(asked.unsent().size() < 2048);
}

TEST_CASE("a peer that brings nothing for long is given up, one that brings pieces is not", "[metadata]") {
    auto const info = numbered(600'000);
    auto exchange = begun(600'000);
    auto now = start;
    for (std::uint32_t piece = 0; piece < 2; ++piece) {
        now += wire::metadata_patience - 2s;
        CHECK(exchange.wake(now));
        CHECK(exchange.receive(data(info, piece), now));
    }
    now += wire::metadata_patience;
    CHECK(exchange.deadline() <= now);
    CHECK(exchange.wake(now).error() == errc::silent);
    metadata_exchange mute{{}, start};
    CHECK(mute.wake(start + wire::metadata_patience).error() == errc::silent);
}

TEST_CASE("a peer that dribbles is given up, however regular it is", "[metadata]") {
    auto const info = numbered(600'000);
    auto exchange = begun(600'000);
    auto now = start;
    std::uint32_t piece = 0;
    for (; piece < 30 && exchange.wake(now); ++piece) {
        now += 10s;
        (void)exchange.receive(data(info, piece), now);
    }
    CHECK(piece < 5);
    CHECK(now - start <= wire::metadata_patience + 600'000s / wire::metadata_rate_min + 10s);
}
