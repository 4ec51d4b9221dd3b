module;
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <system_error>
#include <utility>
#include <vector>

module shoal.utp;
import shoal.core;

namespace shoal::utp {
namespace {
constexpr std::size_t sent_initial = 16;
}

connection::connection(settings const& with, buffer_pool& pool, time_point now)
    : with_(with),
      pool_(&pool),
      state_(with.is_initiator ? state::syn_sent : state::connected),
      out_(pool),
      sent_(sent_initial),
      seq_nr_(with.is_initiator ? static_cast<std::uint16_t>(with.seq_nr + 1) : with.seq_nr),
      base_(seq_nr_),
      must_send_syn_(with.is_initiator),
      last_sent_(now),
      last_heard_(now),
      in_(pool),
      ack_nr_(with.ack_nr),
      advertised_(with.receive_window) {
    if (!with.is_initiator) has_changed_ = true;
}

connection::~connection() {
    drop_held();
}

std::uint16_t connection::send_id() const noexcept {
    return static_cast<std::uint16_t>(with_.is_initiator ? with_.receive_id + 1 : with_.receive_id - 1);
}

std::size_t connection::writable() const noexcept {
    return state_ != state::connected || is_closed_ ? 0 : out_.room(send_ahead());
}

/// What is taken before it is acknowledged: no more than soon goes out, so that what is said next is not late.
std::size_t connection::send_ahead() const noexcept {
    return std::min(with_.send_buffer, std::max(limits::send_ahead_min, 2 * congestion_.window()));
}

std::size_t connection::write(std::span<byte_view const> runs) {
    if (state_ != state::connected || is_closed_) return 0;
    std::size_t taken = 0;
    for (auto const run : runs) {
        auto const count = out_.append(run, send_ahead());
        taken += count;
        if (count < run.size()) {
            has_short_write_ = true;
            break;
        }
    }
    return taken;
}

std::size_t connection::read(std::span<mutable_byte_view const> places, time_point now) {
    std::size_t taken = 0;
    for (auto const place : places) {
        auto const count = std::min(place.size(), in_.size());
        in_.copy(0, place.first(count));
        in_.drop(count);
        taken += count;
        if (count < place.size()) break;
    }
    if (taken == 0 || state_ != state::connected) return taken;
    deliver_held();  // something may have waited for the room
    auto const window = window_to_advertise();
    auto const is_reopened = advertised_ < limits::datagram_max && window >= limits::datagram_max;
    if (is_reopened || window >= advertised_ + with_.receive_window / 8) acknowledge(true, now);
    return taken;
}

void connection::close(time_point now) {
    is_closed_ = true;
    closed_at_ = now;
    close_until_ = now + limits::closing_stalled_max;
    in_.release();
    empty_held();
}

bool connection::is_over() const noexcept {
    if (!is_closed_) return false;
    if (state_ != state::connected) return true;
    return is_fin_acked_ && is_eof_reached() && !must_ack_ && ack_at_ == never;
}

void connection::wake(time_point now) {
    if (state_ == state::failed) return;
    if (now >= close_until_) {
        fail(errc::timed_out);
        return;
    }
    if (now >= ack_at_) acknowledge(true, now);
    if (now >= timeout_at_) time_out(now);
    if (now >= tail_probe_at_) {
        tail_probe_at_ = never;
        is_tail_probe_spent_ = true;
        if (outstanding() > 0 && !sent(base_).is_lost) lose(base_, true);
    }
    if (now >= persist_at_) {
        persist_at_ = never;
        may_persist_ = true;
    }
    if (state_ == state::connected && !must_ack_ && now >= last_sent_ + limits::keep_alive_after) {
        acknowledge(true, now);
        // nothing happens here for a while: give the memory back
        if (in_.size() == 0) in_.release();
        if (held_count_ == 0) drop_held();
        if (outstanding() == 0 && out_.size() == 0) {
            out_.release();
            std::vector<sent_packet>(sent_initial).swap(sent_);
        }
    }
}

time_point connection::deadline() const noexcept {
    if (state_ == state::failed) return never;
    auto const next = std::min({timeout_at_, tail_probe_at_, persist_at_, ack_at_, close_until_});
    if (state_ != state::connected || must_ack_) return next;
    return std::min(next, last_sent_ + limits::keep_alive_after);
}

void connection::fail(errc why) {
    state_ = state::failed;
    error_ = why;
    has_changed_ = true;
    out_.release();
    drop_held();
    sent_.assign(1, {});
    base_ = seq_nr_;
    flight_ = 0;
    lost_count_ = 0;
    must_ack_ = false;
    must_send_syn_ = false;
}

std::uint32_t connection::clock(time_point now) const noexcept {
    auto const since = std::chrono::duration_cast<std::chrono::microseconds>(now.time_since_epoch()).count();
    return static_cast<std::uint32_t>(since) + with_.clock_offset;
}

std::size_t connection::datagram_size() const noexcept {
    if (!is_path_wide_) return limits::datagram_small;
    return with_.remote.address.is_v4() ? limits::datagram_v4 : limits::datagram_v6;
}
}  // namespace shoal::utp
