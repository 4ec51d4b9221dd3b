/// The tracker's peer sets: who is in which swarm, and whom to introduce to whom. A value: no clock, no socket.
module;
#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>
#include <vector>

export module shoal.registry;
import shoal.core;

namespace shoal::registry {
/// What a block of `bytes` bytes takes on the heap (glibc: 8 bytes of header, steps of 16, at least 32).
export constexpr std::size_t heap_bytes(std::size_t bytes) noexcept {
    if (bytes == 0) return 0;
    return bytes <= 24 ? 32 : (bytes + 8 + 15) / 16 * 16;
}

/// A hash table that holds only positions in an array that somebody else keeps: 4 bytes a slot.
///
/// Open addressing with linear probing. A slot is a position (22 bits) and a tag (10 bits of the hash), so that probing
/// seldom looks into the array. The caller gives the hash of what stands at a position (`HashOf`) where entries move.
export class slot_index {
public:
    /// Positions are below this. It is also what `find` returns for nothing.
    static constexpr std::uint32_t none = (1U << 22) - 1;

    /// The first position with this hash for which `is_it(position)` holds, or `none`.
    template <class Predicate>
    std::uint32_t find(std::uint64_t hash, Predicate&& is_it) const {
        if (slots_.empty()) return none;
        for (auto at = home(hash); slots_[at] != empty; at = next(at))
            if (tag(slots_[at]) == tag_of(hash) && is_it(position(slots_[at]))) return position(slots_[at]);
        return none;
    }

    /// Adds `where`, which is not in the table.
    template <class HashOf>
    void insert(std::uint64_t hash, std::uint32_t where, HashOf&& hash_of) {
        if (size_ + 1 > load_max(slots_.size())) rebuild(slots_.size() * 2, hash_of);
        place(hash, where);
        ++size_;
    }

    /// Exchanges two positions of the table.
    void exchange(std::uint64_t hash_a, std::uint32_t a, std::uint64_t hash_b, std::uint32_t b) {
        auto const slot_a = slot(hash_a, a);
        auto const slot_b = slot(hash_b, b);
        slots_[slot_a] = tag_of(hash_a) | b;
        slots_[slot_b] = tag_of(hash_b) | a;
    }

    /// What stood at `from` stands at `to`.
    void move(std::uint64_t hash, std::uint32_t from, std::uint32_t to) {
        slots_[slot(hash, from)] = tag_of(hash) | to;
    }

    /// Removes `where`. `hash_of` is still asked for the other positions only.
    template <class HashOf>
    void erase(std::uint64_t hash, std::uint32_t where, HashOf&& hash_of) {
        auto hole = slot(hash, where);
        for (auto at = next(hole); slots_[at] != empty; at = next(at)) {
            auto const wanted = home(hash_of(position(slots_[at])));
            if (((at - wanted) & mask()) < ((at - hole) & mask())) continue;  // it would stand before its home
            slots_[hole] = slots_[at];
            hole = at;
        }
        slots_[hole] = empty;
        --size_;
        if (slots_.size() <= slots_min || size_ >= slots_.size() / 8) return;
        try {
            rebuild(slots_.size() / 4, hash_of);
        } catch (std::bad_alloc const&) {}  // a large table is right, too
    }

    std::size_t size() const noexcept { return size_; }
    /// Bytes on the heap.
    std::size_t memory() const noexcept { return heap_bytes(slots_.capacity() * sizeof(std::uint32_t)); }
    /// `memory()` of one that was filled with so many.
    static std::size_t memory_of(std::size_t count) noexcept {
        auto slots = slots_min;
        while (count > load_max(slots)) slots *= 2;
        return heap_bytes(slots * sizeof(std::uint32_t));
    }
    /// Bytes that the next `insert` adds to `memory()`.
    std::size_t growth() const noexcept {
        if (size_ + 1 <= load_max(slots_.size())) return 0;
        return heap_bytes(sizeof(std::uint32_t) * (slots_.empty() ? slots_min : slots_.size() * 2)) - memory();
    }

private:
    static constexpr std::uint32_t empty = ~0U;
    static constexpr std::size_t slots_min = 16;

    static std::size_t load_max(std::size_t slots) noexcept { return slots - slots / 4; }
    static std::uint32_t tag_of(std::uint64_t hash) noexcept { return static_cast<std::uint32_t>(hash >> 54) << 22; }
    static std::uint32_t tag(std::uint32_t slot) noexcept { return slot & ~none; }
    static std::uint32_t position(std::uint32_t slot) noexcept { return slot & none; }
    std::size_t mask() const noexcept { return slots_.size() - 1; }
    std::size_t home(std::uint64_t hash) const noexcept { return hash & mask(); }
    std::size_t next(std::size_t at) const noexcept { return (at + 1) & mask(); }

    std::size_t slot(std::uint64_t hash, std::uint32_t where) const noexcept {
        auto at = home(hash);
        while (slots_[at] != (tag_of(hash) | where)) at = next(at);
        return at;
    }
    void place(std::uint64_t hash, std::uint32_t where) {
        auto at = home(hash);
        while (slots_[at] != empty) at = next(at);
        slots_[at] = tag_of(hash) | where;
    }
    template <class HashOf>
    void rebuild(std::size_t slots, HashOf&& hash_of) {
        std::vector<std::uint32_t> old(slots < slots_min ? slots_min : slots, empty);
        old.swap(slots_);
        for (auto const was : old)
            if (was != empty) place(hash_of(position(was)), position(was));
    }

    std::vector<std::uint32_t> slots_;  // size is 0 or a power of two
    std::uint32_t size_ = 0;
};

/// An array of small values that has the first few within itself: most torrents have one peer or two. For values of
/// 8 bytes it is 24, and holds two.
template <class Value>
class small_array {
    static_assert(std::is_trivially_copyable_v<Value>);

public:
    small_array() noexcept = default;
    small_array(small_array&& other) noexcept { swap(other); }
    small_array& operator=(small_array&& other) noexcept {
        small_array{std::move(other)}.swap(*this);
        return *this;
    }
    ~small_array() {
        if (is_on_heap()) std::allocator<Value>{}.deallocate(place_.heap, capacity_);
    }
    void swap(small_array& other) noexcept {
        std::swap(place_, other.place_);
        std::swap(size_, other.size_);
        std::swap(capacity_, other.capacity_);
    }

    std::uint32_t size() const noexcept { return size_; }
    std::uint32_t capacity() const noexcept { return capacity_; }
    bool empty() const noexcept { return size_ == 0; }
    Value* begin() noexcept { return is_on_heap() ? place_.heap : place_.here; }
    Value const* begin() const noexcept { return is_on_heap() ? place_.heap : place_.here; }
    Value const* end() const noexcept { return begin() + size_; }
    Value& operator[](std::uint32_t at) noexcept { return begin()[at]; }
    Value const& operator[](std::uint32_t at) const noexcept { return begin()[at]; }
    Value const& back() const noexcept { return begin()[size_ - 1]; }

    /// Grows an array that is full, by an eighth. To be called before each `push_back`.
    void make_room() {
        if (size_ == capacity_) move_to(next_capacity());
    }
    void push_back(Value const& added) noexcept { std::construct_at(begin() + size_++, added); }
    void pop_back() noexcept { --size_; }
    void shrink_to_fit() noexcept {
        try {
            move_to(std::max(size_, here_max));
        } catch (std::bad_alloc const&) {}  // it stays as it is
    }

    /// Bytes on the heap.
    std::size_t memory() const noexcept { return is_on_heap() ? heap_bytes(capacity_ * sizeof(Value)) : 0; }
    /// Bytes that the next `make_room` adds to that.
    std::size_t growth() const noexcept {
        return size_ < capacity_ ? 0 : heap_bytes(next_capacity() * sizeof(Value)) - memory();
    }

private:
    static constexpr std::uint32_t here_max = std::max<std::uint32_t>(1, 2 * sizeof(void*) / sizeof(Value));
    union place {
        place() noexcept : heap(nullptr) {}
        Value* heap;
        Value here[here_max];
    };

    bool is_on_heap() const noexcept { return capacity_ > here_max; }
    /// As many as the block has room for.
    std::uint32_t next_capacity() const noexcept {
        auto const wanted = size_ + std::max(4U, size_ / 8);
        return static_cast<std::uint32_t>((heap_bytes(wanted * sizeof(Value)) - 8) / sizeof(Value));
    }
    void move_to(std::uint32_t capacity) {
        if (capacity == capacity_) return;
        small_array moved;
        if (capacity > here_max) moved.place_.heap = std::allocator<Value>{}.allocate(capacity);
        moved.capacity_ = capacity;
        for (std::uint32_t i = 0; i < size_; ++i) moved.push_back((*this)[i]);
        swap(moved);
    }

    place place_;
    std::uint32_t size_ = 0;
    std::uint32_t capacity_ = here_max;
};

/// The peers of one torrent and one address family, seeders first.
///
/// 8 to 9 bytes an IPv4 peer, 20 to 23 an IPv6 peer, and 5 to 11 of index where there are more than `scan_max` peers.
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
    /// Sets up to this size are searched one by one: in a kilobyte in a row that takes no longer than an index, which
    /// doubles what a peer takes.
    static constexpr std::uint32_t scan_max = 128;
    /// More peers than this are not of one customer, but for loopback (`limits::peers_per_address_max`).
    static constexpr std::uint32_t one_party_max = 64;

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
    std::uint32_t size() const noexcept { return peers_.size(); }
    /// Peers as far as they are of different customers: none, 1 where all are of one, else all of them.
    std::uint32_t parties() const noexcept;
    /// Bytes on the heap.
    std::size_t memory() const noexcept;
    /// Bytes that the next `insert` adds to `memory()`, about.
    std::size_t growth() const noexcept;

private:
    std::uint64_t hash(siphash_key const& key, peer const& of) const noexcept;
    void exchange(siphash_key const& key, std::uint32_t a, std::uint32_t b);
    void build_index(siphash_key const& key);
    bool is_indexed() const noexcept { return index_ != nullptr; }

    small_array<peer> peers_;
    std::unique_ptr<slot_index> index_;  // most torrents have a few peers and need none
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

/// Pseudo-random numbers from a seed (splitmix64): quick and fair, and no secret.
export class dice {
public:
    explicit dice(std::uint64_t seed) noexcept : state_(seed) {}
    std::uint64_t next() noexcept {
        state_ += 0x9e3779b97f4a7c15U;
        auto mixed = state_;
        mixed = (mixed ^ mixed >> 30) * 0xbf58476d1ce4e5b9U;
        mixed = (mixed ^ mixed >> 27) * 0x94d049bb133111ebU;
        return mixed ^ mixed >> 31;
    }
    /// A number below `bound`, which is not 0.
    std::uint32_t below(std::uint32_t bound) noexcept {
        return static_cast<std::uint32_t>((next() >> 32) * bound >> 32);
    }

private:
    std::uint64_t state_;
};

/// Visits `count` different numbers below `range` in O(`count`), each number with the same chance; all of them where
/// `count` is not below `range`. One number is taken from each of `count` equal parts of a ring turned at random.
export template <class Visit>
void choose(dice& random, std::uint32_t range, std::uint32_t count, Visit&& visit) {
    if (count > range) count = range;
    if (count == 0) return;
    auto const turn = random.below(range);
    auto const least = range / count, longer_parts = range % count;
    std::uint32_t begin = 0, carry = 0;
    for (std::uint32_t part = 0; part < count; ++part) {
        // The longer parts are spread evenly, without a division for each.
        carry += longer_parts;
        auto const is_longer = carry >= count;
        if (is_longer) carry -= count;
        auto const size = least + (is_longer ? 1 : 0);
        auto const at = std::uint64_t{turn} + begin + random.below(size);
        visit(static_cast<std::uint32_t>(at < range ? at : at - range));
        begin += size;
    }
}

/// Seeders given to one who says at its start that nothing is left: it may have a magnet link alone, and not know how
/// much there is (aria2 does so). One who is complete loses a few connections by it.
inline constexpr std::uint32_t seeders_at_start = 5;

/// Chooses up to `wanted` positions of `from` for an asker who stands at `self`, or at `none`. One who is complete gets
/// leechers, and up to `seeders_max` seeders where there are not enough; anyone else gets seeders and leechers, half of
/// each while there are enough of both.
export template <class Set, class Visit>
void choose_peers(dice& random, Set const& from, std::uint32_t self, bool is_complete, std::uint32_t seeders_max,
                  std::uint32_t wanted, Visit&& visit) {
    auto take = [&](std::uint32_t first, std::uint32_t last, std::uint32_t count) {
        auto const is_inside = first <= self && self < last;
        choose(random, last - first - (is_inside ? 1 : 0), count, [&](std::uint32_t at) {
            at += first;
            visit(is_inside && at >= self ? at + 1 : at);
        });
    };
    auto const leechers = from.size() - from.seeders() - (from.seeders() <= self && self < from.size() ? 1 : 0);
    auto const seeders_least = wanted - std::min(wanted, leechers);
    auto const others = from.seeders() - (self < from.seeders() ? 1 : 0);
    auto const seeders = is_complete ? std::min({others, seeders_least, seeders_max})
                                     : std::min(from.seeders(), std::max(wanted / 2, seeders_least));
    take(0, from.seeders(), seeders);
    take(from.seeders(), from.size(), wanted - seeders);
}

/// What a registry holds at most. Where a bound is reached the least useful entry gives way. Of torrents that is one of
/// who made most of them, while few others take part in it: a flood of invented torrents displaces itself, and neither
/// a swarm nor the only seeder of something.
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
    std::vector<endpoint>
        peers;  ///< Random, without the asker; for one who is complete leechers, few seeders at its start.
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
