module;
#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

export module shoal.registry:peer_set;
import shoal.core; // siphash
import :slot_index;

namespace shoal::registry {
/// The peers of one torrent and one address family, seeders first.
///
/// 8 bytes an IPv4 peer and 20 an IPv6 peer, and 4 to 11 of index where there are more than `scan_max` peers.
/// A peer is its address and port. Peers with one address stand in one run of the index, so that they can be counted.
export template <std::size_t AddressSize>
class peer_set {
public:
    using address_bytes = std::array<std::uint8_t, AddressSize>;
    struct peer {
        address_bytes address{};
        std::uint16_t port = 0;
        std::uint16_t seen : 15 = 0;       ///< When it last announced, in ticks modulo 2^15.
        std::uint16_t is_counted : 1 = 0;  ///< Its `completed` has been counted.
        bool is(address_bytes const& other, std::uint16_t other_port) const noexcept {
            return port == other_port && address == other;
        }
    };
    static constexpr std::uint32_t none = slot_index::none;
    /// Sets up to this size are searched one by one: most torrents have a few peers and need no index.
    static constexpr std::uint32_t scan_max = 8;

    /// Where a peer stands, and the others of its address.
    struct found {
        std::uint32_t at = none;                 ///< The peer's position, or `none`.
        std::uint32_t same_address = 0;          ///< Peers with this address, itself included.
        std::uint32_t oldest_of_address = none;  ///< Of these, the one that was silent longest.
    };
    found find(siphash_key const& key, address_bytes const& address, std::uint16_t port, std::uint16_t now) const;

    /// Adds a peer that is not in the set; gives its position. Positions of others may change.
    std::uint32_t insert(siphash_key const& key, peer const& added, bool is_seeder);
    /// Moves a peer among the seeders or out of them; gives its new position.
    std::uint32_t set_seeder(siphash_key const& key, std::uint32_t at, bool is_seeder);
    void erase(siphash_key const& key, std::uint32_t at);

    peer& operator[](std::uint32_t at) noexcept { return peers_[at]; }
    peer const& operator[](std::uint32_t at) const noexcept { return peers_[at]; }
    bool is_seeder(std::uint32_t at) const noexcept { return at < seeders_; }
    /// Seeders stand at 0 to `seeders()` - 1, leechers at the positions after them.
    std::uint32_t seeders() const noexcept { return seeders_; }
    std::uint32_t size() const noexcept { return static_cast<std::uint32_t>(peers_.size()); }
    /// Bytes on the heap.
    std::size_t memory() const noexcept { return heap_bytes(peers_.capacity() * sizeof(peer)) + index_.memory(); }
    /// Bytes that the next `insert` adds to `memory()`, about.
    std::size_t growth() const noexcept;

private:
    std::uint64_t hash(siphash_key const& key, peer const& of) const noexcept;
    void exchange(siphash_key const& key, std::uint32_t a, std::uint32_t b);
    std::size_t next_capacity() const noexcept;
    void build_index(siphash_key const& key);
    bool is_indexed() const noexcept { return index_.size() != 0; }

    std::vector<peer> peers_;
    slot_index index_;
    std::uint32_t seeders_ = 0;
};

/// True for addresses that stand for many machines or none in particular, so that they are not counted per address.
export bool is_loopback(std::array<std::uint8_t, 4> const& address) noexcept;
export bool is_loopback(std::array<std::uint8_t, 16> const& address) noexcept;

/// Ticks between two moments on the ring of 2^15 ticks.
export constexpr std::uint16_t ticks_between(std::uint16_t then, std::uint16_t now) noexcept {
    return static_cast<std::uint16_t>((now - then) & 0x7fff);
}

extern template class peer_set<4>;
extern template class peer_set<16>;
}  // namespace shoal::registry
