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
    total_ += length;
    last_ = now;
    auto const took = std::max(seconds(now - asked), 1e-5);  // a clock may not have moved
    rate_.add(static_cast<double>(total_ - delivered_then) / took, now, std::chrono::seconds{2});
    shortest_ = shortest_ == 0 ? took : std::min(shortest_, took);
}

std::size_t pipeline::depth(std::size_t most, time_point now) const noexcept {
    auto const floor = std::min<std::size_t>(pipeline_min, most);
    if (total_ == 0 || now - last_ > pipeline_pause) return floor;
    // Twice the round trip: so the depth doubles until the line, not the number of requests, bounds the rate.
    auto const ahead = std::max(2 * shortest_, shortest_ + seconds(pipeline_ahead));
    auto const blocks = std::min(rate_.value() * ahead / block_length, 1e6);
    return std::min(static_cast<std::size_t>(blocks) + pipeline_min, most);
}
}  // namespace shoal::wire
