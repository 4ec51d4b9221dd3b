#pragma once
// What the tests of the wire room share. Include it last: it ends in imports.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <variant>
#include <vector>

import shoal.core;
import shoal.wire;

namespace shoal::wire::test {
inline constexpr time_point start{std::chrono::hours{1}};

/// A torrent of 10 pieces of 64 KiB, the last of 100 bytes and one block.
inline constexpr std::uint32_t piece_length = 4 * block_length;
inline constexpr std::uint32_t piece_count = 10;
inline constexpr std::uint64_t total_size = 9ULL * piece_length + block_length + 100;

inline settings defaults() {
    return {.piece_length = piece_length, .total_size = total_size, .fast = true, .extensions = true};
}
inline settings without_fast() {
    auto with = defaults();
    with.fast = false;
    return with;
}

/// One message: length, id, payload.
inline byte_vector message_of(std::uint8_t id, byte_view payload = {}) {
    byte_vector out;
    byte_writer{out}.be(static_cast<std::uint32_t>(payload.size() + 1)).be(id).bytes(payload);
    return out;
}
inline byte_vector message_of(std::uint8_t id, std::initializer_list<std::uint32_t> numbers) {
    byte_vector payload;
    for (auto const number : numbers) byte_writer{payload}.be(number);
    return message_of(id, payload);
}
/// A block message.
inline byte_vector piece_of(block_ref const& ref, byte_view data) {
    byte_vector payload;
    byte_writer{payload}.be(to_number(ref.piece)).be(ref.begin).bytes(data);
    return message_of(7, payload);
}
inline byte_vector range_of(std::uint8_t id, block_ref const& ref) {
    return message_of(id, {to_number(ref.piece), ref.begin, ref.length});
}
inline byte_vector joined(std::initializer_list<byte_vector> messages) {
    byte_vector out;
    for (auto const& message : messages) out.insert(out.end(), message.begin(), message.end());
    return out;
}

/// The `number`th block of the torrent.
inline block_ref block_at(std::uint32_t number) {
    auto const begin = std::uint64_t{number} * block_length;
    return {.piece = piece_index{number / 4},
            .begin = number % 4 * block_length,
            .length = static_cast<std::uint32_t>(std::min<std::uint64_t>(block_length, total_size - begin))};
}
inline constexpr std::uint32_t block_count = 38;
/// Bytes that tell blocks apart.
inline byte_vector data_of(block_ref const& ref) {
    byte_vector out(ref.length);
    std::uint32_t state = to_number(ref.piece) * 31 + ref.begin / block_length + 1;
    for (auto& byte : out) {
        state = state * 1664525 + 1013904223;
        byte = static_cast<std::byte>(state >> 24);
    }
    return out;
}

/// All bytes that wait for the socket, and counts them as sent.
inline byte_vector drain(connection& from, time_point now = start) {
    byte_vector out;
    std::array<byte_view, 64> runs;
    while (auto const count = from.unsent(runs)) {
        std::size_t bytes = 0;
        for (auto const& run : std::span{runs}.first(count)) {
            out.insert(out.end(), run.begin(), run.end());
            bytes += run.size();
        }
        from.sent(bytes, now);
    }
    return out;
}

inline std::string text(block_ref const& ref) {
    return std::to_string(to_number(ref.piece)) + ":" + std::to_string(ref.begin) + "+" + std::to_string(ref.length);
}
/// An event in one line.
inline std::string text(any_event const& event) {
    struct visitor {
        std::string operator()(event::choked) const { return "choked"; }
        std::string operator()(event::unchoked) const { return "unchoked"; }
        std::string operator()(event::interested) const { return "interested"; }
        std::string operator()(event::not_interested) const { return "not interested"; }
        std::string operator()(event::have e) const { return "have " + std::to_string(to_number(e.piece)); }
        std::string operator()(event::has const& e) const { return "has " + std::to_string(e.pieces.count()); }
        std::string operator()(event::requested) const { return "requested"; }
        std::string operator()(event::block e) const { return "block " + text(e.ref) + (e.direct ? "" : " lost"); }
        std::string operator()(event::rejected e) const { return "rejected " + text(e.ref); }
        std::string operator()(event::suggested e) const { return "suggested " + std::to_string(to_number(e.piece)); }
        std::string operator()(event::allowed_fast e) const { return "allowed " + std::to_string(to_number(e.piece)); }
        std::string operator()(event::extension_handshake) const { return "extension handshake"; }
        std::string operator()(event::extension_message const& e) const {
            return "extension " + std::to_string(e.id) + " " + std::string{as_text(e.payload).substr(0, 20)} + " of " +
                   std::to_string(e.payload.size());
        }
        std::string operator()(event::cancelled_upload e) const { return "cancelled " + text(e.ref); }
        std::string operator()(event::port e) const { return "port " + std::to_string(e.number); }
        std::string operator()(event::keep_alive) const { return "keep alive"; }
        std::string operator()(event::snubbed) const { return "snubbed"; }
    };
    return std::visit(visitor{}, event);
}
using lines = std::vector<std::string>;
inline lines events(connection& of) {
    lines out;
    while (auto const event = of.next_event()) out.push_back(text(*event));
    return out;
}

/// A connection that wants blocks, with memory for each.
struct leecher {
    explicit leecher(settings const& with = defaults()) : core(with, start) {}
    bool request(block_ref const& ref, time_point now = start) {
        auto& place = places[ref];
        place.assign(ref.length, std::byte{0xee});
        return core.request(ref, place, now);
    }
    bool holds(block_ref const& ref) { return places.at(ref) == data_of(ref); }
    /// As a driver does: scatter reads, and the events after each go to `told`.
    result<void> read(byte_view bytes, std::size_t places_max = 64, time_point now = start) {
        std::vector<mutable_byte_view> to(places_max);
        while (!bytes.empty()) {
            auto const count = core.prepare(to);
            std::size_t taken = 0;
            for (std::size_t i = 0; i < count && !bytes.empty(); ++i) {
                auto const part = std::min(bytes.size(), to[i].size());
                std::copy_n(bytes.begin(), part, to[i].begin());
                bytes = bytes.subspan(part);
                taken += part;
            }
            auto const done = core.commit(taken, now);
            for (auto& line : events(core)) told.push_back(std::move(line));
            if (!done) return done;
        }
        return success();
    }

    std::map<block_ref, byte_vector> places;
    connection core;
    lines told;
};

inline std::error_code error_of(result<void> const& answer) {
    return answer ? std::error_code{} : answer.error();
}
}  // namespace shoal::wire::test
