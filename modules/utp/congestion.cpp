module;
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>

module shoal.utp;
import shoal.core;

namespace shoal::utp {
using std::chrono::microseconds;

namespace {
/// How much later `a` is than `b`, both modulo 2^32.
std::int32_t difference(std::uint32_t a, std::uint32_t b) noexcept {
    return static_cast<std::int32_t>(a - b);
}
}  // namespace

microseconds delay_history::add(std::uint32_t sample, time_point now) noexcept {
    if (is_empty_ || difference(sample, base()) > microseconds{limits::delay_jump}.count()) {
        minima_.fill(sample);
        minute_ = now;
        is_empty_ = false;
    }
    while (now - minute_ >= std::chrono::minutes{1}) {
        std::ranges::rotate(minima_, minima_.end() - 1);
        minima_[0] = sample;
        // a long silence makes all of them new, however long it was
        minute_ = std::max(minute_ + std::chrono::minutes{1}, now - std::chrono::minutes{3});
    }
    if (difference(sample, minima_[0]) < 0) minima_[0] = sample;
    return microseconds{std::max(difference(sample, base()), 0)};
}

std::uint32_t delay_history::base() const noexcept {
    auto lowest = minima_[0];
    for (auto const each : minima_) {
        if (difference(each, lowest) < 0) lowest = each;
    }
    return lowest;
}

void delay_history::raise(std::uint32_t by) noexcept {
    for (auto& each : minima_) each += by;
}

void congestion::measured(std::uint32_t timestamp_difference, time_point now) noexcept {
    // 0: the peer has no sample yet. uTorrent says the same with 2^31 - 1; 2^32 - 1 is nobody's delay either.
    if (timestamp_difference == 0 || timestamp_difference == 0x7fff'ffffU || timestamp_difference == 0xffff'ffffU)
        return;
    delays_[next_delay_++ % delays_.size()] = ours_.add(timestamp_difference, now);
}

void congestion::heard(std::uint32_t reply_micro, time_point now) noexcept {
    auto const was_empty = theirs_.is_empty();
    auto const before = theirs_.base();
    theirs_.add(reply_micro, now);
    if (was_empty || ours_.is_empty()) return;
    // what gets faster in this direction by drift gets slower in the other one, and is no queue there
    auto const fell = difference(before, theirs_.base());
    if (fell > 0 && fell <= microseconds{limits::drift_max}.count()) ours_.raise(static_cast<std::uint32_t>(fell));
}

microseconds congestion::delay(microseconds rtt) const noexcept {
    if (next_delay_ == 0) return microseconds{0};
    auto const known = std::min<std::size_t>(next_delay_, delays_.size());
    // a queue that delays for longer than the whole round trip took is a clock that moved
    return std::min(*std::min_element(delays_.begin(), delays_.begin() + static_cast<std::ptrdiff_t>(known)), rtt);
}

void congestion::acked(std::size_t bytes, microseconds rtt, bool is_limited) noexcept {
    auto const target = static_cast<double>(microseconds{limits::delay_target}.count());
    auto const off = 1 - static_cast<double>(delay(rtt).count()) / target;
    auto const count = static_cast<double>(bytes);
    if (in_slow_start_ && off < 0.25) in_slow_start_ = false;
    if (off < 0) {
        // the further off the faster, a half each round trip at most: links become slower by more than a packet
        window_ -= count * std::min(0.5, -off / 2);
    } else if (is_limited && in_slow_start_) {
        window_ += count;
        if (window_ >= slow_start_until_) in_slow_start_ = false;
    } else if (is_limited) {
        window_ += limits::gain * off * std::min(count / window_, 1.0);
    }
    clamp();
}

void congestion::lost() noexcept {
    window_ /= 2;
    in_slow_start_ = false;
    clamp();
    window_ = std::max(window_, 2.0 * limits::window_min);  // else nothing follows that could show the next loss
}

void congestion::timed_out() noexcept {
    slow_start_until_ = std::max(window_ / 2, 2.0 * limits::window_min);
    in_slow_start_ = true;
    window_ = limits::window_min;
}

void congestion::clamp() noexcept {
    window_ = std::clamp(window_, static_cast<double>(limits::window_min), static_cast<double>(limits::window_max));
}
}  // namespace shoal::utp
