module;
#include <array>
#include <cstdint>

export module shoal.core:siphash;
import :bytes;

export namespace shoal {
/// A secret for `siphash`, from a random device.
using siphash_key = std::array<std::uint64_t, 2>;

/// SipHash-2-4: a keyed hash that somebody without the key cannot aim, for tables whose keys strangers choose and for
/// short proofs. About 1 ns a byte. Source: Aumasson and Bernstein, "SipHash: a fast short-input PRF", 2012.
std::uint64_t siphash(siphash_key const& key, byte_view bytes) noexcept;
}  // namespace shoal
