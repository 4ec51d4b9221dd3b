module;
#include <algorithm>
#include <array>
#include <cstddef>
#include <string_view>

module shoal.wire;
import shoal.core;

namespace shoal::wire {
namespace {
constexpr std::string_view opening =
    "\x13"
    "BitTorrent protocol";  // BEP 3: the length, then the name
constexpr std::size_t reserved_at = opening.size();
constexpr std::size_t hash_at = reserved_at + 8;
constexpr std::size_t id_at = hash_at + 20;
// Reserved bits: byte and mask.
constexpr std::size_t extensions_byte = reserved_at + 5;
constexpr std::byte extensions_bit{0x10};  // BEP 10
constexpr std::size_t last_byte = reserved_at + 7;
constexpr std::byte fast_bit{0x04};  // BEP 6
constexpr std::byte v2_bit{0x10};    // BEP 52, "upgrade path"
constexpr std::byte dht_bit{0x01};   // BEP 5
}  // namespace

std::array<std::byte, handshake_length> encode(handshake const& from) {
    std::array<std::byte, handshake_length> out{};
    std::ranges::copy(as_bytes(opening), out.begin());
    if (from.extensions) out[extensions_byte] |= extensions_bit;
    if (from.fast) out[last_byte] |= fast_bit;
    if (from.v2) out[last_byte] |= v2_bit;
    if (from.dht) out[last_byte] |= dht_bit;
    std::ranges::copy(from.hash.bytes, out.begin() + hash_at);
    std::ranges::copy(from.id.bytes, out.begin() + id_at);
    return out;
}

result<handshake> parse_handshake(byte_view bytes) {
    if (bytes.size() != handshake_length || !is_handshake_start(bytes)) return errc::not_bittorrent;
    return handshake{
        .hash = *info_hash::from(bytes.subspan(hash_at, 20)),
        .id = *peer_id::from(bytes.subspan(id_at, 20)),
        .fast = (bytes[last_byte] & fast_bit) != std::byte{},
        .extensions = (bytes[extensions_byte] & extensions_bit) != std::byte{},
        .v2 = (bytes[last_byte] & v2_bit) != std::byte{},
        .dht = (bytes[last_byte] & dht_bit) != std::byte{},
    };
}

bool is_handshake_start(byte_view prefix) noexcept {
    auto const known = std::min(prefix.size(), opening.size());
    return equal(prefix.first(known), as_bytes(opening).first(known));
}
}  // namespace shoal::wire
