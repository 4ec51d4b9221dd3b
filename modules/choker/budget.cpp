module;
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

module shoal.choker;

namespace shoal::choker {
namespace {
using seconds = std::chrono::duration<double>;
}

rate_budget::rate_budget(std::uint64_t bytes_per_second, time_point now) noexcept
    : rate_(bytes_per_second), level_(block_length), updated_(now) {}

void rate_budget::set_rate(std::uint64_t bytes_per_second, time_point now) noexcept {
    level_ = rate_ == 0 ? block_length : level_at(now);
    updated_ = std::max(updated_, now);
    rate_ = bytes_per_second;
    level_ = std::min(level_, burst());
}

std::size_t rate_budget::available(time_point now) const noexcept {
    if (rate_ == 0) return std::numeric_limits<std::size_t>::max();
    return static_cast<std::size_t>(std::max(0.0, level_at(now)));
}

void rate_budget::take(std::size_t bytes, time_point now) noexcept {
    if (rate_ == 0) return;
    level_ = level_at(now) - static_cast<double>(bytes);
    updated_ = std::max(updated_, now);
}

time_point rate_budget::ready_at(std::size_t bytes, time_point now) const noexcept {
    if (rate_ == 0) return now;
    auto const lacking = std::min(static_cast<double>(bytes), std::floor(burst())) - level_at(now);
    if (lacking <= 0) return now;
    auto const wait = std::min(seconds{lacking / static_cast<double>(rate_)}, seconds{std::chrono::hours{24}});
    // one microsecond more, so that rounding does not wake the caller a moment too early
    return std::max(updated_, now) + std::chrono::duration_cast<duration>(wait) + std::chrono::microseconds{1};
}

double rate_budget::burst() const noexcept {
    return std::max<double>(block_length, static_cast<double>(rate_) * seconds{burst_time}.count());
}

double rate_budget::level_at(time_point now) const noexcept {
    if (now <= updated_) return level_;
    return std::min(burst(), level_ + static_cast<double>(rate_) * seconds{now - updated_}.count());
}
}  // namespace shoal::choker
