module;
#include <cstddef>
#include <cstdint>
#include <vector>

export module shoal.registry:slot_index;

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
        if (slots_.size() > slots_min && size_ < slots_.size() / 8) rebuild(slots_.size() / 4, hash_of);
    }

    void clear() {
        slots_ = {};
        size_ = 0;
    }
    std::size_t size() const noexcept { return size_; }
    /// Bytes on the heap.
    std::size_t memory() const noexcept { return heap_bytes(slots_.capacity() * sizeof(std::uint32_t)); }
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
}  // namespace shoal::registry
