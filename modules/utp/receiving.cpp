module;
#include <algorithm>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

module shoal.utp;
import shoal.core;

namespace shoal::utp {
namespace {
constexpr std::size_t held_initial = 16;
/// What one held packet costs besides its bytes.
constexpr std::size_t held_overhead = 64;

std::uint16_t distance(std::uint16_t from, std::uint16_t to) noexcept {
    return static_cast<std::uint16_t>(to - from);
}
}  // namespace

/// The host has seen to it that the connection id is right.
void connection::receive(packet const& from_peer, time_point now) {
    auto const& header = from_peer.header;
    if (state_ == state::syn_sent) {
        answer_to_syn(from_peer, now);
        return;
    }
    if (state_ != state::connected || header.type == packet_type::syn) return;
    // what acknowledges packets that were never sent is not of this connection, nor is what is far too old
    auto const newly = distance(static_cast<std::uint16_t>(base_ - 1), header.ack_nr);
    auto const is_stale = newly > outstanding();
    if (header.type == packet_type::reset) {
        // what it answers may be a packet without data, which has the number that is sent next
        if (newly <= outstanding() + 1 || distance(newly, 0) <= limits::reset_lag_max) fail(errc::reset);
        return;
    }
    if (is_stale && distance(newly, 0) > limits::lag_max) return;
    auto const ahead = distance(static_cast<std::uint16_t>(ack_nr_ + 1), header.seq_nr);
    auto const is_new = ahead < limits::reorder_max;
    if (!is_new && distance(ahead, 0) > limits::lag_max) return;

    last_heard_ = now;
    timeouts_ = 0;
    reply_micro_ = clock(now) - header.timestamp_microseconds;
    congestion_.heard(reply_micro_, now);
    if (!is_stale) {
        congestion_.measured(header.timestamp_difference_microseconds, now);
        take_acks(from_peer, newly, now);
        peer_window_ = header.wnd_size;
        if (peer_window_ > 0) persist_at_ = never;
        if (is_closed_ && newly > 0) {
            close_until_ = is_fin_acked_
                               ? now + limits::linger
                               : std::min(closed_at_ + limits::closing_max, now + limits::closing_stalled_max);
        }
    }
    if (header.type != packet_type::state) take_payload(from_peer, now);
}

void connection::answer_to_syn(packet const& from_peer, time_point now) {
    auto const& header = from_peer.header;
    if (header.ack_nr != with_.seq_nr) return;
    if (header.type == packet_type::reset) fail(errc::refused);
    if (header.type != packet_type::state) return;
    state_ = state::connected;
    // the answer has the number of the first packet with data, as everybody does it; BEP 29 would have it one less
    ack_nr_ = static_cast<std::uint16_t>(header.seq_nr - 1);
    peer_window_ = header.wnd_size;
    last_heard_ = now;
    reply_micro_ = clock(now) - header.timestamp_microseconds;
    congestion_.heard(reply_micro_, now);
    congestion_.measured(header.timestamp_difference_microseconds, now);
    if (syns_ == 1) measure(std::chrono::duration_cast<std::chrono::microseconds>(now - last_sent_));
    timeout_at_ = never;
    has_changed_ = true;
    acknowledge(true, now);  // proves our address, if nothing is to be said yet
}

/// DATA or FIN; a FIN may carry bytes too.
void connection::take_payload(packet const& from_peer, time_point now) {
    auto const seq_nr = from_peer.header.seq_nr;
    auto const ahead = distance(static_cast<std::uint16_t>(ack_nr_ + 1), seq_nr);
    if (ahead >= limits::reorder_max) {  // it came before: our ack was lost
        acknowledge(true, now);
        return;
    }
    // nothing comes after the FIN, which is said once: BEP 29, "ST_FIN"
    if (eof_ && (is_eof_reached() || ahead > distance(static_cast<std::uint16_t>(ack_nr_ + 1), *eof_))) {
        acknowledge(true, now);
        return;
    }
    if (from_peer.header.type == packet_type::fin && !eof_) eof_ = seq_nr;
    if (ahead > 0) {
        hold(seq_nr, from_peer.payload);
        acknowledge(true, now);
        return;
    }
    auto const had_gap = held_count_ > 0;
    if (!deliver(from_peer.payload)) {
        acknowledge(true, now);  // with the window that there is
        return;
    }
    // what had no room was held, and comes in order now; only that can be in its place
    if (had_gap && held_[seq_nr & (held_.size() - 1)].is_present) forget_held(held_[seq_nr & (held_.size() - 1)]);
    deliver_held();
    acknowledge(had_gap || ack_at_ != never || is_eof_reached(), now);
}

/// Keeps what is ahead, if the window that was advertised covers it.
void connection::hold(std::uint16_t seq_nr, byte_view payload) {
    auto const ahead = distance(ack_nr_, seq_nr);
    if (ahead > held_.size()) {
        auto const size = std::max<std::size_t>(std::bit_ceil<std::size_t>(ahead), held_initial);
        auto const cost = (size - held_.size()) * sizeof(held_packet);
        if (pool_->left() < cost && size * sizeof(held_packet) > limits::buffer_guaranteed) return;
        std::vector<held_packet> larger(size);
        for (std::uint16_t i = 1; i <= held_.size(); ++i) {
            auto const which = static_cast<std::uint16_t>(ack_nr_ + i);
            larger[which & (size - 1)] = std::move(held_[which & (held_.size() - 1)]);
        }
        pool_->used += cost;
        held_ = std::move(larger);
    }
    auto& place = held_[seq_nr & (held_.size() - 1)];
    if (place.is_present) return;
    if (is_closed_) payload = {};  // it is acknowledged, and that is all
    auto const cost = payload.size() + held_overhead;
    if (in_.size() + held_bytes_ + payload.size() > with_.receive_window ||
        (pool_->left() < cost && held_bytes_ + cost > limits::buffer_guaranteed))
        return;
    if (!payload.empty()) {
        place.bytes = pool_->take_spare();
        place.bytes.assign(payload.begin(), payload.end());
    }
    held_bytes_ += payload.size();
    pool_->used += cost;
    place.is_present = true;
    if (held_count_++ == 0 || distance(ack_nr_, held_top_) < ahead) held_top_ = seq_nr;
}

/// False when there is no room: the packet then counts as lost.
bool connection::deliver(byte_view payload) {
    if (!is_closed_ && !payload.empty()) {
        // what is held has its room already, so that twice the window can be here for a moment
        if (in_.size() + payload.size() > with_.receive_window || in_.room(2 * with_.receive_window) < payload.size())
            return false;
        in_.append(payload, 2 * with_.receive_window);
    }
    ++ack_nr_;
    has_changed_ |= !payload.empty() || is_eof_reached();
    return true;
}

void connection::deliver_held() {
    while (held_count_ > 0 && !is_eof_reached()) {
        auto& next = held_[static_cast<std::uint16_t>(ack_nr_ + 1) & (held_.size() - 1)];
        if (!next.is_present || !deliver(next.bytes)) break;
        forget_held(next);
    }
    if (is_eof_reached()) drop_held();
}

void connection::forget_held(held_packet& held) {
    held.is_present = false;
    --held_count_;
    held_bytes_ -= held.bytes.size();
    pool_->used -= held.bytes.size() + held_overhead;
    pool_->give_back(std::exchange(held.bytes, {}));
}

/// Nobody will read it. It was acknowledged and is not sent again, so that it still counts as there.
void connection::empty_held() noexcept {
    for (auto& place : held_) {
        pool_->used -= place.bytes.size();
        pool_->give_back(std::exchange(place.bytes, {}));
    }
    held_bytes_ = 0;
}

void connection::drop_held() noexcept {
    pool_->used -= held_.size() * sizeof(held_packet);
    for (auto& place : held_) {
        if (place.is_present) pool_->used -= place.bytes.size() + held_overhead;
    }
    held_ = {};
    held_count_ = 0;
    held_bytes_ = 0;
}

/// The peer's SYN came again: our answer was lost.
void connection::receive_syn(time_point now) {
    if (state_ == state::connected) acknowledge(true, now);
}

/// An ack is due: now, or soon.
void connection::acknowledge(bool at_once, time_point now) noexcept {
    must_ack_ |= at_once;
    ack_at_ = must_ack_ ? never : std::min(ack_at_, now + limits::ack_delay);
}

std::size_t connection::window_to_advertise() const noexcept {
    if (is_closed_) return with_.receive_window;  // nothing is kept
    auto const unread = in_.size();
    return std::min(with_.receive_window - std::min(unread, with_.receive_window), in_.room(with_.receive_window));
}
}  // namespace shoal::utp
