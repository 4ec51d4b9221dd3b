module;
#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "core/canary.hpp"

module shoal.utp;
import shoal.core;

namespace shoal::utp {
std::size_t connection::compose(mutable_byte_view place, time_point now) {
    if (state_ == state::syn_sent) return compose_syn(place, now);
    if (state_ != state::connected) return 0;
    // data carries no selective ack, and the peer needs it now
    if (must_ack_ && held_count_ > 0) return compose_state(place, now);
    if (auto const size = compose_again(place, now)) return size;
    if (lost_count_ == 0) {
        if (auto const size = compose_new(place, now)) return size;
    }
    if (auto const size = compose_fin(place, now)) return size;
    return must_ack_ ? compose_state(place, now) : 0;
}

std::size_t connection::compose_syn(mutable_byte_view place, time_point now) {
    if (!std::exchange(must_send_syn_, false)) return 0;
    timeout_at_ = now + limits::rto_initial * (1U << syns_);
    ++syns_;
    return send(packet_type::syn, with_.seq_nr, place, now);
}

std::size_t connection::compose_again(mutable_byte_view place, time_point now) {
    if (lost_count_ == 0 || is_planted("segment_never_sent_again")) return 0;
    forget_first_lost();
    while (!sent(first_lost_).is_lost) ++first_lost_;
    auto& packet = sent(first_lost_);
    auto const is_forced = std::exchange(must_resend_, false);
    auto const size = static_cast<std::uint16_t>(header_length + packet.length);
    if (!fits_window(size) && !is_forced) return 0;
    packet.is_lost = false;
    --lost_count_;
    packet.size = size;
    return put(packet.is_fin ? packet_type::fin : packet_type::data, first_lost_, place, now);
}

std::size_t connection::compose_new(mutable_byte_view place, time_point now) {
    auto const waiting = out_begin_ + out_.size() - next_byte_;
    auto payload = static_cast<std::size_t>(std::min<std::uint64_t>(waiting, datagram_size() - header_length));
    is_window_limited_ = false;
    if (payload == 0 || outstanding() >= limits::flight_packets_max) return 0;
    payload = payload_for_receiver(payload, now);
    if (payload == 0) return 0;
    auto const is_probe = may_probe(payload, now);
    auto size = header_length + payload;
    if (is_probe) size = with_.remote.address.is_v4() ? limits::datagram_v4 : limits::datagram_v6;
    if (!fits_window(size)) return 0;

    auto const seq_nr = seq_nr_;
    auto& packet = add_sent(static_cast<std::uint32_t>(payload));
    packet.size = static_cast<std::uint16_t>(size);
    packet.is_probe = is_probe;
    is_probe_out_ |= is_probe;
    may_persist_ = false;
    return put(packet_type::data, seq_nr, place, now);
}

/// As much of `payload` as the peer has room for; 0 when it has to wait for room.
std::size_t connection::payload_for_receiver(std::size_t payload, time_point now) {
    auto const unacked = next_byte_ - out_begin_;
    auto const room = peer_window_ - std::min<std::uint64_t>(unacked, peer_window_);
    if (payload <= room) return payload;
    // little pieces only when nothing else is under way: a peer whose whole window is that small
    if (outstanding() > 0) return 0;
    if (room > 0) return static_cast<std::size_t>(room);
    if (may_persist_) return 1;  // asks whether there is room again; the news of it may have been lost
    if (persist_at_ == never) persist_at_ = now + retransmission_timeout();
    return 0;
}

bool connection::may_probe(std::size_t payload, time_point now) const noexcept {
    return !is_path_wide_ && !is_probe_out_ && now >= next_probe_ && payload == limits::datagram_small - header_length;
}

std::size_t connection::compose_fin(mutable_byte_view place, time_point now) {
    auto const waiting = out_begin_ + out_.size() - next_byte_;
    if (!is_closed_ || is_fin_sent_ || waiting > 0 || outstanding() >= limits::flight_packets_max) return 0;
    is_fin_sent_ = true;
    auto const seq_nr = seq_nr_;
    auto& packet = add_sent(0);
    packet.is_fin = true;
    packet.size = header_length;
    return put(packet_type::fin, seq_nr, place, now);
}

connection::sent_packet& connection::add_sent(std::uint32_t length) {
    if (outstanding() == sent_.size()) {
        std::vector<sent_packet> larger(sent_.size() * 2);
        for (auto i = base_; i != seq_nr_; ++i) larger[i & (larger.size() - 1)] = sent(i);
        sent_ = std::move(larger);
    }
    auto& packet = sent(seq_nr_++);
    packet = {};
    packet.begin = next_byte_;
    packet.length = length;
    next_byte_ += length;
    return packet;
}

std::size_t connection::put(packet_type type, std::uint16_t seq_nr, mutable_byte_view place, time_point now) {
    auto& packet = sent(seq_nr);
    packet.sent_at = now;
    packet.order = ++order_;
    packet.transmissions = static_cast<std::uint8_t>(std::min(packet.transmissions + 1, 255));
    flight_ += packet.size;
    arm(now);
    auto const padded_to = packet.is_probe ? packet.size - packet.length : 0;
    must_ack_ = false;
    ack_at_ = never;
    last_sent_ = now;
    auto const at = utp::write(header(type, seq_nr, now), {}, padded_to, place);
    out_.copy(static_cast<std::size_t>(packet.begin - out_begin_), place.subspan(at, packet.length));
    return at + packet.length;
}

std::size_t connection::compose_state(mutable_byte_view place, time_point now) {
    return send(packet_type::state, seq_nr_, place, now);
}

std::size_t connection::send(packet_type type, std::uint16_t seq_nr, mutable_byte_view place, time_point now) {
    std::array<std::byte, limits::selective_ack_max> bits{};
    auto const bytes = type == packet_type::state ? fill_selective_ack(bits) : 0;
    must_ack_ = false;
    ack_at_ = never;
    last_sent_ = now;
    return utp::write(header(type, seq_nr, now), byte_view{bits}.first(bytes), 0, place);
}

packet_header connection::header(packet_type type, std::uint16_t seq_nr, time_point now) {
    advertised_ = window_to_advertise();
    packet_header header;
    header.type = type;
    header.connection_id = type == packet_type::syn ? receive_id() : send_id();
    header.timestamp_microseconds = clock(now);
    header.timestamp_difference_microseconds = reply_micro_;
    header.wnd_size = static_cast<std::uint32_t>(advertised_);
    header.seq_nr = seq_nr;
    header.ack_nr = ack_nr_;
    return header;
}

/// Bytes of the selective ack: none when nothing is held, else a multiple of 4 (BEP 29).
std::size_t connection::fill_selective_ack(std::span<std::byte, limits::selective_ack_max> bits) const noexcept {
    if (held_count_ == 0) return 0;
    auto const first = static_cast<std::uint16_t>(ack_nr_ + 2);
    auto const reach = static_cast<std::uint16_t>(held_top_ - first);
    auto const count = std::min<std::size_t>(reach < limits::reorder_max ? reach + std::size_t{1} : 0, bits.size() * 8);
    for (std::size_t i = 0; i < count; ++i) {
        if (held_[(first + i) & (held_.size() - 1)].is_present) bits[i / 8] |= std::byte{1} << (i % 8);
    }
    return std::max<std::size_t>((count + 31) / 32, 1) * 4;
}

/// May so many bytes be sent beside those that are on their way? One packet always may.
bool connection::fits_window(std::size_t size) noexcept {
    is_window_limited_ = flight_ > 0 && flight_ + size > congestion_.window();
    return !is_window_limited_;
}

/// Something was sent, or acknowledged: the timers start anew.
void connection::arm(time_point now) noexcept {
    if (outstanding() == 0) {
        timeout_at_ = tail_probe_at_ = never;
        return;
    }
    timeout_at_ = now + retransmission_timeout();
    tail_probe_at_ = never;
    if (is_tail_probe_spent_ || rtt_.count() == 0 || backoff_ > 0) return;
    // the last packets of a flight have nothing behind them that could show their loss
    auto const patience =
        std::max(2 * rtt_, rtt_ + 4 * rtt_var_) + (outstanding() == 1 ? limits::ack_delay_of_peers : limits::ack_delay);
    if (now + patience < timeout_at_) tail_probe_at_ = now + patience;
}
}  // namespace shoal::utp
