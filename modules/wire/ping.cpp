module;
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>

module shoal.wire;
import shoal.core;

namespace shoal::wire {
std::array<std::byte, ping_length> encode(ping_message const& from) noexcept {
    std::array<std::byte, ping_length> out{};
    out[0] = std::byte{from.is_answer};
    store_be(mutable_byte_view{out}.subspan(1), from.number);
    return out;
}

std::optional<ping_message> parse_ping(byte_view payload) noexcept {
    if (payload.size() != ping_length || payload[0] > std::byte{1}) return std::nullopt;
    return ping_message{payload[0] == std::byte{1}, load_be<std::uint64_t>(payload.subspan(1))};
}
}  // namespace shoal::wire
