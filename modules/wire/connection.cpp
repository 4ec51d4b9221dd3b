module;
#include <algorithm>
#include <array>
#include <cassert>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <optional>
#include <utility>
#include <variant>

#include "core/canary.hpp"

module shoal.wire;
import shoal.core;

namespace shoal::wire {
namespace {
std::uint32_t pieces_of(settings const& with) {
    assert(with.piece_length > 0);
    return static_cast<std::uint32_t>((with.total_size + with.piece_length - 1) / with.piece_length);
}
}  // namespace

connection::connection(settings const& with, time_point now)
    : settings_(with),
      peer_pieces_(pieces_of(with)),
      idle_messages_(with.limits.idle_messages),
      excess_requests_(with.limits.excess_requests),
      download_rate_(now),
      upload_rate_(now),
      last_received_(now),
      last_sent_(now),
      last_block_(now) {}

std::optional<any_event> connection::next_event() {
    if (events_.empty()) {
        constexpr std::size_t usual = 256;
        if (events_.capacity() > usual) events_.clear();
        return std::nullopt;
    }
    auto next = events_.pop();
    if (std::holds_alternative<event::requested>(next)) told_requested_ = false;
    return next;
}

void connection::choke() {
    if (std::exchange(choking_, true)) return;
    send(message::choke);
    while (auto const ref = next_upload()) reject(*ref);
}

void connection::unchoke() {
    if (std::exchange(choking_, false)) send(message::unchoke);
}

void connection::interested() {
    if (!std::exchange(interested_, true)) send(message::interested);
}

void connection::not_interested() {
    if (std::exchange(interested_, false)) send(message::not_interested);
}

void connection::have(piece_index piece) {
    send(message::have, {to_number(piece)});
}

void connection::send_bitfield(bitfield const& pieces) {
    if (settings_.fast && pieces.all()) return send(message::have_all);
    if (settings_.fast && pieces.none()) return send(message::have_none);
    if (pieces.none()) return;
    auto const payload = pieces.wire_bytes();
    byte_vector out;
    byte_writer{out}
        .be(static_cast<std::uint32_t>(1 + payload.size()))
        .be(static_cast<std::uint8_t>(message::bitfield));
    outbox_.add(out);
    outbox_.add(payload);
}

void connection::extension_handshake(extension_handshake_message message) {
    if (!message.reqq) message.reqq = settings_.reqq_own;
    for (auto const& [name, id] : message.m) own_extensions_.set(id);
    extension_message(0, encode(message));
}

void connection::port(std::uint16_t udp_port) {
    std::array<std::byte, 7> out{};
    store_be(out, std::uint32_t{3});
    out[4] = static_cast<std::byte>(message::port);
    store_be(mutable_byte_view{out}.subspan(5), udp_port);
    outbox_.add(out);
}

void connection::extension_message(std::uint8_t id, byte_view payload) {
    if (!settings_.extensions) return;
    std::array<std::byte, 6> head{};
    store_be(head, static_cast<std::uint32_t>(2 + payload.size()));
    head[4] = static_cast<std::byte>(message::extended);
    head[5] = static_cast<std::byte>(id);
    outbox_.add(head);
    outbox_.add(payload);
}

bool connection::request(block_ref const& block, mutable_byte_view destination, time_point now) {
    assert(is_inside(block) && block.length > 0 && block.length <= settings_.limits.block_max);
    assert(destination.size() == block.length);
    if (choked_ && std::ranges::find(allowed_fast_, block.piece) == allowed_fast_.end()) return false;
    if (request_room() == 0) return false;
    if (outstanding() == 0) last_block_ = now;
    requests_.add({.ref = block, .destination = destination.data(), .asked = now, .delivered_then = pipeline_.total()});
    send_range(message::request, block);
    if (!waiting_since_) waiting_since_ = now;
    return true;
}

void connection::cancel(block_ref const& block) {
    if (drop_request(block)) send_range(message::cancel, block);
}

void connection::forget(block_ref const& block) {
    drop_request(block);
}

bool connection::drop_request(block_ref const& block) {
    if (arriving_ && arriving_->ref == block) {
        counters_.wasted += block.length;
        part_ = part::skipped;
        arriving_.reset();
        return false;  // it is half here: too late to tell the peer
    }
    // With the fast extension each request is answered, and a reject has to find its request.
    if (settings_.fast && requests_.cancelled() < settings_.limits.requests_max) return requests_.cancel(block);
    if (!requests_.wanted(block)) return false;
    requests_.answer(block);
    ++unasked_allowed_;
    return true;
}

std::optional<block_ref> connection::next_upload() {
    while (!uploads_.empty()) {
        auto const ref = uploads_.pop();
        if (ref.length == 0) continue;
        --uploads_live_;
        return ref;
    }
    return std::nullopt;
}

std::optional<block_ref> connection::peek_upload() const noexcept {
    for (std::size_t i = 0; i < uploads_.size(); ++i)
        if (uploads_[i].length != 0) return uploads_[i];
    return std::nullopt;
}

void connection::send_block(block_ref const& block, byte_view data) {
    assert(block.length > 0 && data.size() == block.length);
    std::array<std::byte, block_header_length> head{};
    auto const out = mutable_byte_view{head};
    store_be(out, static_cast<std::uint32_t>(9 + data.size()));
    head[4] = static_cast<std::byte>(message::piece);
    store_be(out.subspan(5), to_number(block.piece));
    store_be(out.subspan(9), block.begin);
    outbox_.add(head);
    outbox_.add_block(data);
}

void connection::reject(block_ref const& block) {
    if (settings_.fast) send_range(message::reject, block);
}

void connection::sent(std::size_t count, time_point now) {
    auto const of_blocks = outbox_.sent(count);
    counters_.payload_sent += of_blocks;
    counters_.protocol_sent += count - of_blocks;
    upload_rate_.add(of_blocks, now);
    last_sent_ = now;
    waiting_since_.reset();
    if (outbox_.size() > 0) waiting_since_ = now;
}

result<void> connection::wake(time_point now) {
    auto const& bounds = settings_.limits;
    if (outbox_.own_size() > bounds.unsent_max) return errc::never_reads;
    if (now - last_received_ >= bounds.silence_max) return errc::silent;
    if (outbox_.size() == 0) {
        if (now - last_sent_ >= bounds.keep_alive_after) {
            outbox_.add(std::array<std::byte, 4>{});
            last_sent_ = now;
            release_memory();
        }
    } else if (!waiting_since_) {
        waiting_since_ = now;
    } else if (now - *waiting_since_ >= bounds.stall_max) {
        return errc::stalled;
    }
    if (outstanding() > 0 && now - last_block_ >= bounds.snub_after && !is_planted("snub_timer_never_armed")) {
        snubbed_ = true;
        last_block_ = now;
        emit(event::snubbed{});
    }
    return success();
}

/// So long after the last word, what a busy time has left behind is given back.
void connection::release_memory() {
    if (uploads_.empty()) uploads_.clear();
    if (events_.empty()) events_.clear();
    requests_.release_memory();
    outbox_.release_memory();
    spill_ = {};
    if (part_ != part::body) body_ = {};
}

time_point connection::deadline() const {
    auto const& bounds = settings_.limits;
    auto next = last_received_ + bounds.silence_max;
    if (outbox_.size() == 0)
        next = std::min(next, last_sent_ + bounds.keep_alive_after);
    else if (waiting_since_)
        next = std::min(next, *waiting_since_ + bounds.stall_max);
    if (outstanding() > 0) next = std::min(next, last_block_ + bounds.snub_after);
    return next;
}

std::size_t connection::peer_queue() const noexcept {
    auto const told = peer_extensions_.reqq.value_or(settings_.limits.requests_default);
    return std::clamp<std::size_t>(told, 1, settings_.limits.requests_max);
}

std::size_t connection::request_room() const noexcept {
    auto const most = peer_queue();
    return most > outstanding() ? most - outstanding() : 0;
}

std::size_t connection::pipeline_depth(time_point now) const {
    return pipeline_.depth(snubbed_ ? std::min<std::size_t>(pipeline_min, peer_queue()) : peer_queue(), now);
}

void connection::send(message id, std::initializer_list<std::uint32_t> numbers) {
    std::array<std::byte, short_message_length> out{};
    auto const place = mutable_byte_view{out};
    store_be(place, static_cast<std::uint32_t>(1 + 4 * numbers.size()));
    out[4] = static_cast<std::byte>(id);
    std::size_t end = 5;
    for (auto const number : numbers) {
        store_be(place.subspan(end), number);
        end += 4;
    }
    outbox_.add(place.first(end));
}

void connection::send_range(message id, block_ref const& ref) {
    send(id, {to_number(ref.piece), ref.begin, ref.length});
}
}  // namespace shoal::wire
