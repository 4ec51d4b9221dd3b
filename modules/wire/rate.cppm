module;
#include <cstdint>

export module shoal.wire:rate;
import shoal.core;
import :limits;

export namespace shoal::wire {
/// Bytes a second, smoothed over some seconds; right from the first second on.
class rate_meter {
public:
    explicit rate_meter(time_point start) : start_(start), last_(start) {}
    void add(std::uint64_t bytes, time_point now);
    double at(time_point now) const;

private:
    time_point start_;
    time_point last_;
    double smoothed_ = 0;  // bytes a second at last_, too low while the meter is young
};

/// The largest of the samples of the last one to two `span`s.
class recent_max {
public:
    void add(double sample, time_point now, duration span);
    double value() const noexcept { return current_ > previous_ ? current_ : previous_; }

private:
    double current_ = 0;
    double previous_ = 0;
    time_point since_{};
};

/// How many blocks to keep in flight: what the path delivers in a round trip, and `pipeline_ahead` more.
///
/// Each block says how much arrived between its request and itself (a delivery rate), and how long it took. While the
/// line is not full the rate follows the number of requests, so that the depth at least doubles each round trip.
class pipeline {
public:
    /// A block of `length` bytes came that was asked at `asked`, when `delivered_then` bytes had been delivered.
    void delivered(std::uint32_t length, time_point asked, std::uint64_t delivered_then, time_point now);
    /// Bytes of all blocks so far.
    std::uint64_t total() const noexcept { return total_; }
    /// Blocks, `pipeline_min` at least. `most` bounds it.
    std::size_t depth(std::size_t most, time_point now) const noexcept;

private:
    std::uint64_t total_ = 0;
    time_point last_{};
    recent_max rate_;      // bytes a second
    double shortest_ = 0;  // seconds, of all round trips: a queue of our own requests must not count as distance
};
}  // namespace shoal::wire
