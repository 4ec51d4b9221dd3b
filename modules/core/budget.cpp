module;
#include <chrono>
#include <cstdint>

module shoal.core;

namespace shoal {
duration budget::time_of(std::uint64_t count) const noexcept {
    return std::chrono::nanoseconds{count * std::nano::den / pace_.per_second};
}

bool budget::take(time_point now, std::uint64_t count) noexcept {
    if (!has(now, count)) return false;
    full_at_ = full_after(now, count);
    return true;
}
}  // namespace shoal
