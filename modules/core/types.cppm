module;
#include <algorithm>
#include <array>
#include <chrono>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <optional>

export module shoal.core:types;
import :bytes;

export namespace shoal {
/// Monotonic time. Cores get it as an argument; only `net::clock` reads it from the system.
using time_point = std::chrono::steady_clock::time_point;
using duration = std::chrono::steady_clock::duration;

/// Which piece of a torrent, from 0. Comes from the geometry or from a checked message, so it is in range.
enum class piece_index : std::uint32_t {};
constexpr std::uint32_t to_number(piece_index index) noexcept {
    return static_cast<std::uint32_t>(index);
}

/// The unit of request: 16 KiB, shorter only at the end of a torrent. Source: BEP 3, "peer messages".
inline constexpr std::uint32_t block_length = 16 * 1024;

/// A range of bytes inside one piece.
struct block_ref {
    piece_index piece{};
    std::uint32_t begin = 0;   ///< Offset in the piece, bytes.
    std::uint32_t length = 0;  ///< Bytes.
    friend constexpr auto operator<=>(block_ref const&, block_ref const&) = default;
};

/// Bytes that name something: a digest, an info-hash, a peer id. `Tag` keeps the kinds apart.
template <std::size_t Size, class Tag>
struct identifier {
    std::array<std::byte, Size> bytes{};

    static constexpr std::size_t size() noexcept { return Size; }
    /// Nothing unless `from` has exactly `Size` bytes.
    static constexpr std::optional<identifier> from(byte_view from) noexcept {
        if (from.size() != Size) return std::nullopt;
        identifier result;
        std::copy(from.begin(), from.end(), result.bytes.begin());
        return result;
    }
    constexpr byte_view view() const noexcept { return bytes; }
    constexpr bool is_zero() const noexcept {
        return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
    }
    friend constexpr auto operator<=>(identifier const&, identifier const&) = default;
};

/// SHA-1 and SHA-256 digests.
using sha1_digest = identifier<20, struct sha1_digest_tag>;
using sha256_digest = identifier<32, struct sha256_digest_tag>;
/// What names a torrent on the wire and at trackers: the v1 info-hash, or the v2 one cut to 20 bytes (BEP 52).
using info_hash = identifier<20, struct info_hash_tag>;
/// What a peer calls itself. Source: BEP 3, "peer_id"; BEP 20.
using peer_id = identifier<20, struct peer_id_tag>;
}  // namespace shoal

/// Good for keys that this program chose. Tables keyed by a stranger's bytes need a keyed hash.
export template <std::size_t Size, class Tag>
struct std::hash<shoal::identifier<Size, Tag>> {
    std::size_t operator()(shoal::identifier<Size, Tag> const& id) const noexcept {
        std::size_t value = 0;
        std::memcpy(&value, id.bytes.data(), std::min(sizeof value, Size));
        return value;
    }
};
export template <>
struct std::hash<shoal::piece_index> {
    std::size_t operator()(shoal::piece_index index) const noexcept { return shoal::to_number(index); }
};
