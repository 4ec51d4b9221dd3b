module;
#include <cstddef>
#include <cstdint>

export module shoal.choker:budget;
import shoal.core; // time_point

export namespace shoal::choker {
/// How many bytes may pass, so that the mean keeps to a rate: a token bucket.
///
/// May be overdrawn, so that a whole block can be sent when some of it may; the debt is waited off. One budget serves
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
    /// The most that is ever saved up, bytes: a quarter of a second, but at least one block.
    std::uint64_t burst() const noexcept;

private:
    std::int64_t level_at(time_point now) const noexcept;

    std::uint64_t rate_;
    std::int64_t level_;  // millionths of a byte would overflow; the remainder of time is kept in updated_ instead
    time_point updated_;
};
}  // namespace shoal::choker
