module;
#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include "core/try.hpp"

module shoal.wire;
import shoal.core;

namespace shoal::wire {
namespace {
bool is_of_fast_extension(message id) {
    return id == message::suggest || id == message::have_all || id == message::have_none || id == message::reject ||
           id == message::allowed_fast;
}

/// A range in a message, not checked.
block_ref range_in(byte_view payload) {
    return {.piece = piece_index{load_be<std::uint32_t>(payload)},
            .begin = load_be<std::uint32_t>(payload.subspan(4)),
            .length = load_be<std::uint32_t>(payload.subspan(8))};
}
}  // namespace

/// Length and id are there. Sees to it that nothing is kept that has a wrong length.
result<void> connection::on_message_start(time_point now) {
    auto const& bounds = settings_.limits;
    std::size_t const length = load_be<std::uint32_t>(header_) - std::size_t{1};  // of the payload
    message_ = static_cast<message>(header_[4]);
    if (is_of_fast_extension(message_) && !settings_.fast) return errc::not_negotiated;

    auto const exactly = [&](std::size_t expected) -> result<void> {
        if (length != expected) return errc::bad_length;
        if (expected == 0) {
            begin_header();
            return on_message({}, now);
        }
        header_want_ = 5 + expected;
        return success();
    };
    auto const body = [&]() -> result<void> {
        begin_header();
        part_ = part::body;
        left_ = length;
        body_.clear();
        body_have_ = 0;
        return success();
    };
    switch (message_) {
        case message::choke:
        case message::unchoke:
        case message::interested:
        case message::not_interested:
        case message::have_all:
        case message::have_none:
            return exactly(0);
        case message::port:
            return exactly(2);
        case message::have:
        case message::suggest:
        case message::allowed_fast:
            return exactly(4);
        case message::request:
        case message::cancel:
        case message::reject:
            return exactly(12);
        case message::piece:
            if (length < 8) return errc::bad_length;
            if (length > std::size_t{8} + bounds.block_max) return errc::too_long;
            header_want_ = block_header_length;
            return success();
        case message::bitfield:
            if (length != (std::size_t{peer_pieces_.size()} + 7) / 8 || length == 0) return errc::bad_length;
            if (phase_ == phase::told) return errc::late_bitfield;
            return body();
        case message::extended:
            if (!settings_.extensions) break;
            if (length < 1) return errc::bad_length;
            if (length > bounds.extension_max) return errc::too_long;
            header_want_ = 6;
            return success();
    }
    if (length + 1 > bounds.unknown_max) return errc::too_long;
    if (!idle_messages_.take(now)) return errc::flood;
    begin_skip(length);
    return success();
}

/// Of an extension message the id is there too. What we never offered is not kept: nobody would ask for it.
result<void> connection::on_extension_id(time_point now) {
    auto const id = header_[5];
    std::size_t const length = load_be<std::uint32_t>(header_) - std::size_t{2};  // after the id
    if (id == std::byte{} && length > extension_handshake_length_max) return errc::bad_extension_handshake;
    begin_header();
    if (!own_extensions_.test(std::to_integer<std::size_t>(id))) {
        if (!idle_messages_.take(now)) return errc::flood;
        begin_skip(length);
        return success();
    }
    part_ = part::body;
    left_ = length;
    body_.assign(1, id);
    body_have_ = 1;
    return length > 0 ? success() : end_part(now);
}

result<void> connection::on_message(byte_view payload, time_point now) {
    auto const was = phase_;
    if (message_ != message::extended && message_ != message::port) phase_ = phase::talking;
    switch (message_) {
        case message::choke:
            return on_choke(now);
        case message::unchoke:
            return on_unchoke(now);
        case message::interested:
            return on_interest(true, now);
        case message::not_interested:
            return on_interest(false, now);
        case message::have:
            return on_have(payload, now);
        case message::bitfield: {
            auto pieces = bitfield::parse(payload, peer_pieces_.size());
            if (!pieces) return errc::bad_bitfield;
            if (was == phase::talking) return on_late_bitfield(std::move(*pieces), now);
            return on_pieces(std::move(*pieces));
        }
        case message::have_all:
        case message::have_none:
            if (was != phase::opening) return errc::late_bitfield;
            return on_pieces(bitfield{peer_pieces_.size(), message_ == message::have_all});
        case message::request:
            return on_request(payload, now);
        case message::cancel:
            return on_cancel(payload, now);
        case message::reject:
            return on_reject(payload);
        case message::suggest: {
            if (!idle_messages_.take(now)) return errc::flood;
            SHOAL_TRY(auto const piece, piece_in(payload));
            emit(event::suggested{piece});
            break;
        }
        case message::allowed_fast:
            return on_allowed_fast(payload, now);
        case message::port: {
            if (!idle_messages_.take(now)) return errc::flood;
            auto const number = load_be<std::uint16_t>(payload);
            if (number != 0) emit(event::port{number});
            break;
        }
        case message::extended:
            return on_extended(payload, now);
        case message::piece:
            break;  // never a body
    }
    return success();
}

/// The header of a block that was not predicted, or that came without a prediction.
result<void> connection::on_block_header(source& from) {
    auto const head = byte_view{header_};
    block_ref const ref{.piece = piece_index{load_be<std::uint32_t>(head.subspan(5))},
                        .begin = load_be<std::uint32_t>(head.subspan(9)),
                        .length = load_be<std::uint32_t>(head) - 9};
    phase_ = phase::talking;
    if (!is_inside(ref)) return errc::out_of_range;
    begin_header();
    auto const request = requests_.answer(ref);
    if (request && request->destination) {
        ++counters_.moved;
        begin_block(*request);
        if (!from.is_threatened_by({request->destination, ref.length}) || from.move_to(spill_)) return success();
        return errc::dead_destination;
    }
    counters_.wasted += ref.length;
    begin_skip(ref.length);
    if (request) return success();  // cancelled
    if (unasked_allowed_ > 0)
        --unasked_allowed_;
    else if (++unasked_ > settings_.limits.unasked_blocks_max)
        return errc::unasked_blocks;
    return success();
}

result<void> connection::on_choke(time_point now) {
    if (!idle_messages_.take(now)) return errc::flood;
    if (!std::exchange(choked_, true)) emit(event::choked{});
    if (settings_.fast) return success();  // each request gets its reject
    while (auto const lost = requests_.take_first()) {
        ++unasked_allowed_;  // it may be on its way
        emit(event::rejected{lost->ref});
    }
    return success();
}

result<void> connection::on_unchoke(time_point now) {
    if (!idle_messages_.take(now)) return errc::flood;
    if (std::exchange(choked_, false)) emit(event::unchoked{});
    return success();
}

result<void> connection::on_interest(bool is, time_point now) {
    if (!idle_messages_.take(now)) return errc::flood;
    if (std::exchange(peer_interested_, is) == is) return success();
    if (is)
        emit(event::interested{});
    else
        emit(event::not_interested{});
    return success();
}

result<void> connection::on_have(byte_view payload, time_point now) {
    SHOAL_TRY(auto const piece, piece_in(payload));
    if (peer_pieces_.set(piece))
        emit(event::have{piece});
    else if (!idle_messages_.take(now))
        return errc::flood;
    return success();
}

/// aria2 sends one bitfield in the place of many have messages. So one that only adds is right at any time.
result<void> connection::on_late_bitfield(bitfield pieces, time_point now) {
    if (peer_pieces_.has_beyond(pieces) || !pieces.has_beyond(peer_pieces_)) return errc::late_bitfield;
    if (!idle_messages_.take(now)) return errc::flood;
    peer_pieces_ = pieces;
    emit(event::has{std::move(pieces)});
    return success();
}

result<void> connection::on_pieces(bitfield pieces) {
    phase_ = phase::told;
    peer_pieces_ = pieces;
    emit(event::has{std::move(pieces)});
    return success();
}

result<void> connection::on_request(byte_view payload, time_point now) {
    auto const ref = range_in(payload);
    auto const& bounds = settings_.limits;
    if (ref.length > bounds.request_max) return errc::request_too_long;
    if (!is_inside(ref)) return errc::out_of_range;
    auto const is_served = !choking_ && ref.length > 0 && ref.length <= bounds.request_served_max &&
                           ref.begin % block_length == 0 && uploads_.size() < settings_.reqq_own;
    if (!is_served) {
        if (!excess_requests_.take(now)) return errc::flood;
        reject(ref);
        return success();
    }
    uploads_.push(ref);
    ++uploads_live_;
    if (!std::exchange(told_requested_, true)) emit(event::requested{});
    return success();
}

result<void> connection::on_cancel(byte_view payload, time_point now) {
    if (!idle_messages_.take(now)) return errc::flood;
    auto const ref = range_in(payload);
    if (!is_inside(ref)) return errc::out_of_range;
    for (std::size_t i = 0; ref.length > 0 && i < uploads_.size(); ++i) {
        if (uploads_[i] != ref) continue;
        uploads_[i].length = 0;
        --uploads_live_;
        reject(ref);
        return success();
    }
    emit(event::cancelled_upload{ref});
    return success();
}

result<void> connection::on_reject(byte_view payload) {
    auto const ref = range_in(payload);
    if (!is_inside(ref)) return errc::out_of_range;
    auto const request = requests_.reject(ref);
    if (request && request->destination)
        emit(event::rejected{ref});
    else if (!request && unasked_allowed_ > 0)
        --unasked_allowed_;
    else if (!request)
        return errc::unasked_reject;
    return success();
}

result<void> connection::on_allowed_fast(byte_view payload, time_point now) {
    if (!idle_messages_.take(now)) return errc::flood;
    SHOAL_TRY(auto const piece, piece_in(payload));
    if (allowed_fast_.size() >= settings_.limits.allowed_fast_max) return success();
    if (std::ranges::find(allowed_fast_, piece) != allowed_fast_.end()) return success();
    allowed_fast_.push_back(piece);
    emit(event::allowed_fast{piece});
    return success();
}

result<void> connection::on_extended(byte_view payload, time_point now) {
    if (!idle_messages_.take(now)) return errc::flood;
    auto const id = std::to_integer<std::uint8_t>(payload.front());
    if (id != 0) {
        payloads_.push_back(std::move(body_));
        body_ = {};
        emit(event::extension_message{.id = id, .payload = byte_view{payloads_.back()}.subspan(1)});
        return success();
    }
    auto const too_soon =
        extension_handshake_at_ && now - *extension_handshake_at_ < settings_.limits.extension_handshake_interval;
    if (too_soon) return success();
    extension_handshake_at_ = now;
    SHOAL_TRY(auto told, parse_extension_handshake(payload.subspan(1)));
    merge(peer_extensions_, std::move(told));
    emit(event::extension_handshake{});
    return success();
}

result<piece_index> connection::piece_in(byte_view payload) const {
    auto const number = load_be<std::uint32_t>(payload);
    if (number >= peer_pieces_.size()) return errc::out_of_range;
    return piece_index{number};
}

std::uint32_t connection::piece_size(piece_index piece) const noexcept {
    auto const begin = std::uint64_t{to_number(piece)} * settings_.piece_length;
    return static_cast<std::uint32_t>(std::min<std::uint64_t>(settings_.piece_length, settings_.total_size - begin));
}

bool connection::is_inside(block_ref const& ref) const noexcept {
    return to_number(ref.piece) < peer_pieces_.size() && std::uint64_t{ref.begin} + ref.length <= piece_size(ref.piece);
}
}  // namespace shoal::wire
