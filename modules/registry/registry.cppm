module;
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

/// The tracker's peer sets: who is in which swarm, and whom to introduce to whom. A value: no clock, no socket.
export module shoal.registry;
export import :slot_index;  // positions by keyed hash
export import :peer_set;    // the peers of one torrent and family
export import :choice;      // random samples of fixed cost
import shoal.core;

namespace shoal::registry {
/// What a registry holds at most. Where a bound is reached the least useful entry gives way, so that a flood of
/// invented torrents or peers displaces itself before it displaces a real swarm.
export struct limits {
    std::size_t torrents_max = 1'000'000;           ///< Torrents with at least one peer or one download.
    std::size_t peers_max = 8'000'000;              ///< Peers in all torrents.
    std::uint32_t peers_per_torrent_max = 500'000;  ///< Of one address family; below 2^22 (`slot_index`).
    std::uint32_t peers_per_address_max =
        32;  ///< In one torrent and IPv4 address or IPv6 /64: a shared flat, no flood.
    std::size_t memory_max = std::size_t{256} << 20;  ///< Bytes on the heap, as counted by `memory()`.
};

/// How a registry is set up.
export struct options {
    limits bounds{};
    /// A peer that was silent this long is gone. Up to a day; kept in steps of `tick`.
    std::chrono::seconds peer_lifetime = std::chrono::minutes{46};
    std::uint32_t shard_count =
        16;                  ///< Tables that grow on their own, so that no announce pays for all; a power of two.
    siphash_key secret{};    ///< Keeps strangers from aiming at the hash tables; from a random device.
    std::uint64_t seed = 0;  ///< For the choice of peers.
};

/// The step in which a peer's last announce is remembered: a day fits in 15 bits several times.
export constexpr std::chrono::seconds tick{16};

/// What a peer says happened. Source: BEP 3, "event".
export enum class event : std::uint8_t { none, started, completed, stopped };
/// Peers of which address family the asker can use.
export enum class families : std::uint8_t {
    own,   ///< Those of its own address only.
    both,  ///< Its own first, the other to fill up.
};

/// One announce. The address is the one it came from; nothing that the peer says about itself replaces it.
export struct announcement {
    info_hash torrent;
    endpoint peer;             ///< Port 0 is asked for peers but not introduced to others.
    bool is_complete = false;  ///< It has the whole torrent and needs no seeders.
    event what = event::none;
    std::uint32_t peers_wanted = 50;  ///< The caller has capped it.
    families usable = families::own;
};

/// A swarm in numbers. Source: BEP 48.
export struct swarm {
    std::uint32_t seeders = 0;
    std::uint32_t leechers = 0;
    std::uint32_t downloaded = 0;  ///< Peers that said `completed`, each counted once.
};
export struct outcome {
    std::vector<endpoint> peers;  ///< Random, without the asker; only leechers for one who is complete.
    swarm counts;
    bool is_stored = false;  ///< False for `stopped`, port 0, and where the bounds left no room.
};

/// Numbers for the metrics.
export struct counters {
    std::size_t torrents = 0;
    std::size_t peers_v4 = 0;
    std::size_t peers_v6 = 0;
    std::size_t seeders = 0;
    std::uint64_t announces = 0;
    std::uint64_t completed = 0;
    std::uint64_t expired = 0;        ///< Peers that went silent.
    std::uint64_t peers_evicted = 0;  ///< Peers that gave way to newer ones.
    std::uint64_t torrents_evicted = 0;
    std::uint64_t refused = 0;  ///< Peers that found no room.
};

/// The peer sets of a tracker.
export class registry {
public:
    explicit registry(options const& how);
    ~registry();
    registry(registry&&) noexcept;
    registry& operator=(registry&&) noexcept;

    /// Notes what the peer says and chooses peers for it. The cost grows with `peers_wanted` only.
    outcome announce(announcement const& from, time_point now);
    /// The numbers of one torrent; zeros for an unknown one.
    swarm scrape(info_hash const& torrent) const;
    /// Looks at the next `steps` peers and torrents and drops those that were silent for `peer_lifetime`; how many it
    /// dropped. Called steadily it comes round to all: `size()` steps do one round.
    std::size_t expire(time_point now, std::size_t steps);

    /// Torrents and peers held, the work of one round of `expire`.
    std::size_t size() const noexcept;
    /// Bytes on the heap.
    std::size_t memory() const noexcept;
    counters numbers() const noexcept;

private:
    class state;
    std::unique_ptr<state> state_;
};
}  // namespace shoal::registry
