module;
#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>

module shoal.announce;
import shoal.core;

namespace shoal::announce {
namespace {
std::uint16_t second_of(time_point now) noexcept {
    return static_cast<std::uint16_t>(std::chrono::duration_cast<std::chrono::seconds>(now.time_since_epoch()).count() &
                                      0xffff);
}
}  // namespace

std::uint64_t connection_ids::make(endpoint const& client, time_point now) const noexcept {
    return id_of(client, second_of(now));
}

bool connection_ids::accepts(std::uint64_t id, endpoint const& client, time_point now) const noexcept {
    auto const made = static_cast<std::uint16_t>(id >> 48);
    // One from the future is older than a lifetime on this ring of 18 hours.
    auto const age = static_cast<std::uint16_t>(second_of(now) - made);
    auto const difference = id ^ id_of(client, made);
    return difference == 0 && age <= connection_id_lifetime.count();
}

std::uint64_t connection_ids::id_of(endpoint const& client, std::uint16_t second) const noexcept {
    std::array<std::byte, 2 + 2 + 16> proven{};
    mutable_byte_view const out{proven};
    store_be(out, second);
    store_be(out.subspan(2), client.port);
    auto const address = client.address.bytes();
    std::copy(address.begin(), address.end(), proven.begin() + 4);
    // Only the bytes of the address are hashed, so that 4 and 16 byte addresses never look alike.
    auto const hash = siphash(secret_, byte_view{proven}.first(4 + address.size()));
    return std::uint64_t{second} << 48 | hash >> 16;
}
}  // namespace shoal::announce
