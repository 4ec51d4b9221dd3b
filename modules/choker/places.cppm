module;
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

/// Who gives way when all places are taken (classes C6, C12).
export module shoal.choker:places;
import shoal.core; // ip_address, time_point

export namespace shoal::choker {
/// Whom places and turns are shared out to: as a rule the network of an address, which may be all one attacker's.
/// Nothing stands alone, with nobody to share with.
using share_holder = std::optional<ip_address>;

/// A place that is taken.
struct place {
    std::uint32_t id = 0;  ///< The caller's number for it.
    share_holder network;
    bool is_useful = false;   ///< Data goes through it just now.
    std::uint64_t moved = 0;  ///< Bytes that went through it so far.
    time_point since{};
};

/// So many useful places of one network are never taken from it: a household or an office that takes part.
inline constexpr std::size_t useful_places_kept = 4;

/// The place that a newcomer gets when there is none free; nothing where he is turned away.
///
/// It is taken from the network that holds most places, and only where that one has more than the newcomer's will have
/// then. So each network comes to an equal share, or to what it wants if that is less: as long as there are more places
/// than networks, nobody who has many addresses of few networks keeps others out, and nobody who comes again and again
/// pushes anybody out. Within the network the least useful place goes, of equals the youngest.
std::optional<std::uint32_t> gives_way(std::span<place const> taken, share_holder const& newcomer);
}  // namespace shoal::choker
