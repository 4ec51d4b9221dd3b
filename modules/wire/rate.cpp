module;
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>

module shoal.wire;
import shoal.core;

namespace shoal::wire {
namespace {
constexpr double smoothing = 5.0;  // seconds; long enough for a display, short enough for the choker's ten
double seconds(duration of) {
    return std::chrono::duration<double>(of).count();
}
/// Seconds, within a burst.
double longest_wait(double round_trip) {
    return std::max(seconds(pipeline_wait), 4 * round_trip);
}
}  // namespace

void rate_meter::add(std::uint64_t bytes, time_point now) {
    if (now > last_) {
        smoothed_ *= std::exp(-seconds(now - last_) / smoothing);
        last_ = now;
    }
    smoothed_ += static_cast<double>(bytes) / smoothing;
}

double rate_meter::at(time_point now) const {
    auto const since = std::max(seconds(now - last_), 0.0);
    // A meter of age t has seen only 1 - exp(-t / smoothing) of what it would see in the long run.
    auto const age = std::max(seconds(now - start_), 0.1);
    return smoothed_ * std::exp(-since / smoothing) / (1 - std::exp(-age / smoothing));
}

void recent_max::add(double sample, time_point now, duration span) {
    if (now - since_ >= span) {
        previous_ = now - since_ < 2 * span ? current_ : 0;
        current_ = 0;
        since_ = now;
    }
    current_ = std::max(current_, sample);
}

void pipeline::delivered(std::uint32_t length, time_point asked, std::uint64_t delivered_then, time_point now) {
    auto const took = std::max(seconds(now - asked), 1e-5);  // a clock may not have moved
    shortest_ = shortest_ == 0 ? took : std::min(shortest_, took);
    auto const waiting_since = total_ == 0 ? asked : std::max(last_, asked);
    if (total_ == 0 || seconds(now - waiting_since) > longest_wait(shortest_)) burst_begins(waiting_since, now);
    total_ += length;
    last_ = now;
    rate_.add(static_cast<double>(total_ - delivered_then) / took, now, std::chrono::seconds{2});
}

void pipeline::burst_begins(time_point waiting_since, time_point now) {
    auto const burst = total_ - before_burst_;  // the one that is over
    if (total_ > 0) {
        if (!comes_in_bursts(last_)) {  // a line that was busy has paused once: no less than before is asked for
            burst_depth_ = std::max(burst_depth_, blocks_ahead());
            bursts_until_trial_ = bursts_between_trials;
        } else if (bursts_until_trial_ > 0) {
            usual_burst_ = burst;
            if (--bursts_until_trial_ == 0) burst_depth_ *= 2;
        } else if (2 * burst >= 3 * usual_burst_) {  // more asked for, more came: and more?
            usual_burst_ = burst;
            burst_depth_ = std::min<std::size_t>(2 * burst_depth_, 1u << 16);
        } else {
            burst_depth_ = std::max<std::size_t>(burst_depth_ / 2, pipeline_min);
            bursts_until_trial_ = bursts_between_trials;
        }
    }
    before_burst_ = total_;
    waiting_since_ = waiting_since;
    waited_ = now - waiting_since <= pipeline_pause ? now - waiting_since : duration::zero();  // we may have slept
}

bool pipeline::comes_in_bursts(time_point now) const noexcept {
    return seconds(waited_) > longest_wait(shortest_) && now - waiting_since_ < 3 * waited_ + std::chrono::seconds{2};
}

std::size_t pipeline::depth(std::size_t most, time_point now) const noexcept {
    if (total_ == 0 || now - last_ > pipeline_pause) return std::min<std::size_t>(pipeline_min, most);
    return std::min({blocks_ahead(), comes_in_bursts(now) ? burst_depth_ : most, most});
}

std::size_t pipeline::blocks_ahead() const noexcept {
    // Twice the round trip: so the depth doubles until the line, not the number of requests, bounds the rate.
    auto const ahead = std::max(2 * shortest_, shortest_ + seconds(pipeline_ahead));
    auto const blocks = std::min(rate_.value() * ahead / block_length, 1e6);
    return static_cast<std::size_t>(blocks) + pipeline_min;
}
}  // namespace shoal::wire
