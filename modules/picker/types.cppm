module;
#include <cstddef>
#include <cstdint>

export module shoal.picker:types;
import shoal.core; // block_ref

export namespace shoal::picker {
/// A connected peer, as the caller numbers them: small, dense, reused after `remove_peer`.
enum class peer_slot : std::uint32_t {};
constexpr std::uint32_t to_number(peer_slot slot) noexcept {
    return static_cast<std::uint32_t>(slot);
}
/// No peer at all.
inline constexpr auto no_peer = peer_slot{0xffff'ffff};

/// In which order fresh pieces are begun.
enum class order {
    rarest_first,  ///< The piece that the fewest peers have, random among equals.
    sequential,    ///< The lowest index.
};

struct picker_settings {
    std::uint32_t piece_length = 0;  ///< Bytes.
    std::uint64_t total_size = 0;    ///< Bytes.
    std::uint64_t seed = 0;          ///< For the choice among equals; differs from peer to peer, or all ask the same.
    order policy = order::rarest_first;
};

/// Who sent a block.
struct contribution {
    peer_slot peer = no_peer;
    block_ref block;
};

/// Slots above this are ignored: a torrent has far fewer connections, and the table of peers is dense.
inline constexpr std::uint32_t peers_max = 1U << 16U;
/// A claim of the hub above this (64 TiB) counts as this, so that sums over all peers do not overflow.
inline constexpr std::uint64_t uploaded_max = std::uint64_t{1} << 46U;
/// Peers that one block is asked of at most in the end game. Two would leave the end to the slower of two; each more
/// costs every peer up to one round trip of wasted upload (docs/scheduling.md).
inline constexpr std::size_t end_game_copies = 3;
/// Fresh pieces looked at in exact order of rarity before a random sample is taken instead. A torrent of up to 256
/// pieces is exact always; above, one look costs about 1 ns.
inline constexpr std::size_t exact_scan_max = 256;
/// Candidates in that sample.
inline constexpr std::size_t sample_size = 32;

/// Numbers that look random and follow from a seed. Source: Steele, Lea, Flood, "Fast splittable pseudorandom number
/// generators" (SplitMix64).
class random_sequence {
public:
    constexpr explicit random_sequence(std::uint64_t seed) noexcept : state_(seed) {}
    constexpr std::uint64_t next() noexcept {
        state_ += 0x9e37'79b9'7f4a'7c15U;
        auto mixed = state_;
        mixed = (mixed ^ (mixed >> 30U)) * 0xbf58'476d'1ce4'e5b9U;
        mixed = (mixed ^ (mixed >> 27U)) * 0x94d0'49bb'1331'11ebU;
        return mixed ^ (mixed >> 31U);
    }
    /// From 0 to `bound` - 1; `bound` must not be 0. The bias of at most `bound` in 2^32 does not matter here.
    constexpr std::uint32_t below(std::uint32_t bound) noexcept {
        return static_cast<std::uint32_t>(((next() >> 32U) * bound) >> 32U);
    }

private:
    std::uint64_t state_;
};
}  // namespace shoal::picker
