module;
#include <cstdint>
#include <optional>
#include <string>
#include <utility>

module shoal.options;
import shoal.core;

namespace shoal::options {
std::optional<std::uint64_t> log_gate::admit(time_point now) noexcept {
    if (lines_.take(now)) return std::exchange(left_out_, 0);
    ++left_out_;
    return std::nullopt;
}

std::string left_out_line(std::uint64_t count) {
    return std::to_string(count) + (count == 1 ? " line was" : " lines were") + " left out here: too many at once";
}
}  // namespace shoal::options
