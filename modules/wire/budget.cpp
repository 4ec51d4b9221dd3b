module;
#include <algorithm>
#include <chrono>

module shoal.wire;
import shoal.core;

namespace shoal::wire {
bool budget::take(time_point now) {
    auto const since = std::chrono::duration<double>(std::max(now - last_, duration{})).count();
    last_ = now;
    left_ = std::min<double>(left_ + since * limit_.per_second, limit_.burst);
    if (left_ < 1) return false;
    left_ -= 1;
    return true;
}
}  // namespace shoal::wire
