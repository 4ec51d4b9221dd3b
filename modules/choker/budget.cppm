module;
#include <chrono>
#include <cstddef>
#include <cstdint>

export module shoal.choker:budget;
import shoal.core; // time_point

export namespace shoal::choker {
/// Unused rate is saved up for this long. With a debt of one block on top, five seconds then never carry more than
/// 1.03 of the limit, from 320 KiB/s upwards (the rest is for headers).
inline constexpr auto burst_time = std::chrono::milliseconds{100};

/// How many bytes may pass, so that the mean keeps to a rate: a token bucket.
///
/// May be overdrawn, best by less than a block, so that a whole block can be sent when some of it may; the debt is
/// waited off. One budget serves
/// many readers; who comes first is the caller's choice. Time never goes back: an earlier `now` counts as the last one.
class rate_budget {
public:
    /// `bytes_per_second` 0 means unlimited. Starts empty but for one block, so that a restart is no burst.
    rate_budget(std::uint64_t bytes_per_second, time_point now) noexcept;

    /// Takes effect at once; what was saved up is cut to the new burst.
    void set_rate(std::uint64_t bytes_per_second, time_point now) noexcept;
    std::uint64_t rate() const noexcept { return rate_; }
    /// The bytes that may pass now; 0 while in debt, the largest number when unlimited.
    std::size_t available(time_point now) const noexcept;
    /// These bytes passed. More than `available` puts the budget into debt.
    void take(std::size_t bytes, time_point now) noexcept;
    /// When `bytes` (or the burst, if that is less) will be available; `now` or earlier when they are.
    time_point ready_at(std::size_t bytes, time_point now) const noexcept;
    /// The most that is ever saved up, bytes: `burst_time` at the rate, but at least one block.
    double burst() const noexcept;

private:
    double level_at(time_point now) const noexcept;

    std::uint64_t rate_;
    double level_;  // bytes; below 0 is debt
    time_point updated_;
};
}  // namespace shoal::choker
