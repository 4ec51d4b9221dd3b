module;
#include <array>
#include <cstddef>

export module shoal.wire:handshake;
import shoal.core;

export namespace shoal::wire {
/// What both ends say first. Source: BEP 3 "peer protocol", BEP 6, 10, 52 for the reserved bits.
struct handshake {
    info_hash hash;
    peer_id id;
    bool fast = true;        ///< Fast extension, BEP 6.
    bool extensions = true;  ///< Extension protocol, BEP 10.
    bool v2 = false;         ///< The sender can upgrade to BitTorrent v2, BEP 52.
    friend bool operator==(handshake const&, handshake const&) = default;
};
inline constexpr std::size_t handshake_length = 68;  ///< Bytes.

std::array<std::byte, handshake_length> encode(handshake const& from);
/// Fails with `errc::not_bittorrent` unless `bytes` are `handshake_length` bytes that start as they must. Reserved bits
/// that nobody has defined are ignored.
result<handshake> parse_handshake(byte_view bytes);
/// Whether `prefix`, of any length, can still become a handshake: refuse early what cannot.
bool is_handshake_start(byte_view prefix) noexcept;
}  // namespace shoal::wire
