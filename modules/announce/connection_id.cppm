module;
#include <chrono>
#include <cstdint>

export module shoal.announce:connection_id;
import shoal.core;

export namespace shoal::announce {
/// A tracker honours a connection id this long after it gave it. Source: BEP 15, "two minutes".
inline constexpr std::chrono::seconds connection_id_lifetime{120};

/// Makes and checks the connection ids of a UDP tracker without remembering any.
///
/// An id is the second it was made in (16 bits) and a keyed hash of that second, the address and the port (48 bits).
/// Only who receives packets at an address learns its id, so that nobody can announce in another's name or have replies
/// sent there (class I1).
class connection_ids {
public:
    /// `secret` is from a random device.
    explicit connection_ids(siphash_key const& secret) noexcept : secret_(secret) {}

    std::uint64_t make(endpoint const& client, time_point now) const noexcept;
    /// Whether `id` was made for `client` no longer than `connection_id_lifetime` ago. Constant time.
    bool accepts(std::uint64_t id, endpoint const& client, time_point now) const noexcept;

private:
    std::uint64_t id_of(endpoint const& client, std::uint16_t second) const noexcept;
    siphash_key secret_;
};
}  // namespace shoal::announce
