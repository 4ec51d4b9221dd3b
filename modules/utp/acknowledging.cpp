module;
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <utility>

module shoal.utp;
import shoal.core;

namespace shoal::utp {
using std::chrono::microseconds;

/// `newly` packets more than before are acknowledged in order; all of them were sent.
void connection::take_acks(packet const& from_peer, std::uint16_t newly, time_point now) {
    std::size_t bytes = 0;
    auto latest = time_point::min();
    auto const was_limited = is_window_limited_;
    for (; newly > 0; --newly) {
        auto& packet = sent(base_);
        if (!packet.is_acked) take_one(packet, now, bytes, latest);
        out_.drop(packet.length);
        out_begin_ += packet.length;
        is_fin_acked_ |= packet.is_fin;
        ++base_;
    }
    auto const is_advance = bytes > 0;

    // bits outside of what was sent mean nothing: BEP 29, "Selective ACK"
    for (std::size_t i = 0; i < from_peer.selective_ack.size(); ++i) {
        peer_acks_selectively_ = true;
        auto const bits = std::to_integer<unsigned>(from_peer.selective_ack[i]);
        for (unsigned bit = 0; bits >> bit != 0; ++bit) {
            auto const distance = 1 + i * 8 + bit;  // the first bit is for ack_nr + 2, base_ is ack_nr + 1
            if (distance >= outstanding()) break;
            if ((bits >> bit & 1U) == 0) continue;
            auto& packet = sent(static_cast<std::uint16_t>(base_ + distance));
            if (!packet.is_acked) take_one(packet, now, bytes, latest);
        }
    }

    if (bytes > 0) {
        if (latest != time_point::min()) measure(std::chrono::duration_cast<microseconds>(now - latest));
        congestion_.acked(bytes, rtt_, was_limited);
        backoff_ = 0;
        is_tail_probe_spent_ = false;
        arm(now);
        find_losses();
    }
    if (!peer_acks_selectively_) count_duplicate(from_peer, is_advance);
    if (outstanding() == 0) arm(now);
    if (bytes > 0 && has_short_write_ && writable() >= send_ahead() / 4) {
        has_short_write_ = false;
        has_changed_ = true;
    }
}

void connection::take_one(sent_packet& packet, time_point now, std::size_t& bytes, time_point& latest) {
    packet.is_acked = true;
    bytes += packet.size;
    if (packet.is_lost) {
        packet.is_lost = false;
        --lost_count_;
    } else {
        flight_ -= packet.size;
    }
    if (packet.is_probe) {
        is_probe_out_ = false;
        is_path_wide_ = true;
        probes_lost_ = 0;
    }
    if (packet.transmissions == 1) {
        latest = std::max(latest, packet.sent_at);
    } else if (now - packet.sent_at < rtt_ / 2) {
        return;  // it is the first one that came: it tells nothing of what was sent after it
    }
    auto order = packet.order;
    for (auto& known : acked_orders_) {
        if (order > known) std::swap(order, known);
    }
}

/// What was sent before three that were acknowledged.
void connection::find_losses() {
    auto const before = acked_orders_.back();
    // what is sent once only is in order: the first that is late enough ends the search, unless something before it was
    // sent again
    for (auto i = base_; i != seq_nr_; ++i) {
        auto const& packet = sent(i);
        if (packet.order >= before && packet.transmissions == 1) break;
        if (!packet.is_acked && !packet.is_lost && packet.order < before) lose(i, true);
    }
}

/// The old rules, for a peer that sends no selective acks.
void connection::count_duplicate(packet const& from_peer, bool is_advance) {
    if (is_advance) {
        duplicates_ = 0;
        if (!recovering_until_) return;
        if (outstanding() == 0 || static_cast<std::uint16_t>(*recovering_until_ - base_) > outstanding())
            recovering_until_.reset();
        else if (!sent(base_).is_lost && sent(base_).transmissions == 1)
            lose(base_, true);
        return;
    }
    if (from_peer.header.type != packet_type::state || outstanding() == 0) return;
    if (++duplicates_ != limits::duplicate_acks || sent(base_).transmissions > 1 || sent(base_).is_lost) return;
    recovering_until_ = seq_nr_;
    lose(base_, true);
}

void connection::lose(std::uint16_t seq_nr, bool is_congestion) {
    auto& packet = sent(seq_nr);
    packet.is_lost = true;
    flight_ -= packet.size;
    forget_first_lost();
    if (lost_count_++ == 0 ||
        static_cast<std::uint16_t>(seq_nr - base_) < static_cast<std::uint16_t>(first_lost_ - base_))
        first_lost_ = seq_nr;
    if (packet.is_probe) {
        packet.is_probe = false;
        is_probe_out_ = false;
        next_probe_ = packet.sent_at;
        if (++probes_lost_ >= limits::mtu_probes) {
            probes_lost_ = 0;
            next_probe_ += limits::mtu_probe_again;
        }
        return;  // its size may be why: no sign of a full queue
    }
    if (is_path_wide_ && packet.size > limits::datagram_small && packet.transmissions >= limits::large_losses_max &&
        last_heard_ > packet.sent_at) {
        is_path_wide_ = false;
        next_probe_ = packet.sent_at + limits::mtu_probe_again;
    }
    if (!is_congestion || packet.order <= cut_order_) return;
    congestion_.lost();
    cut_order_ = order_;
    must_resend_ = true;
}

/// Numbers come round: one that is behind `base_` would be taken for one that is not sent yet.
void connection::forget_first_lost() noexcept {
    if (static_cast<std::uint16_t>(first_lost_ - base_) >= outstanding()) first_lost_ = base_;
}

void connection::time_out(time_point now) {
    timeout_at_ = tail_probe_at_ = never;
    if (state_ == state::syn_sent) {
        if (syns_ >= limits::syns_max)
            fail(errc::no_answer);
        else
            must_send_syn_ = true;
        return;
    }
    if (outstanding() == 0) return;
    if (++timeouts_ >= limits::timeouts_max) {
        fail(errc::timed_out);
        return;
    }
    for (auto i = base_; i != seq_nr_; ++i) {
        auto& packet = sent(i);
        // after the second timeout what was acknowledged selectively is not believed to be there any more
        if (packet.is_acked && backoff_ > 0) {
            packet.is_acked = false;
            flight_ += packet.size;
        }
        if (!packet.is_acked && !packet.is_lost) lose(i, false);
    }
    congestion_.timed_out();
    cut_order_ = order_;
    duplicates_ = 0;
    recovering_until_.reset();
    ++backoff_;
    timeout_at_ = now + retransmission_timeout();  // even if nothing could be sent until then
}

/// Source: BEP 29, "timeouts".
void connection::measure(microseconds sample) noexcept {
    // an ack that was lost and made up for much later looks like a slow path: one such must not stop the connection
    sample = std::clamp<microseconds>(sample, microseconds{1}, 2 * retransmission_timeout_once());
    if (rtt_.count() == 0) {
        rtt_ = sample;
        rtt_var_ = sample / 2;
        return;
    }
    auto const off = rtt_ > sample ? rtt_ - sample : sample - rtt_;
    rtt_var_ += (off - rtt_var_) / 4;
    rtt_ += (sample - rtt_) / 8;
}

microseconds connection::retransmission_timeout_once() const noexcept {
    if (rtt_.count() == 0) return limits::rto_initial;
    return std::clamp<microseconds>(rtt_ + 4 * rtt_var_, limits::rto_min, limits::rto_max);
}

duration connection::retransmission_timeout() const noexcept {
    duration const once = retransmission_timeout_once();
    auto doubled = once;
    for (unsigned i = 0; i < backoff_ && doubled < limits::rto_doubled_max; ++i) doubled *= 2;
    return std::max(once, std::min<duration>(doubled, limits::rto_doubled_max));
}
}  // namespace shoal::utp
