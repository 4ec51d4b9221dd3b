module;
#include <algorithm>
#include <cstdint>

export module shoal.registry:choice;
import :peer_set;

namespace shoal::registry {
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
    if (range == 0) return;
    if (count > range) count = range;
    auto const turn = random.below(range);
    std::uint32_t begin = 0;
    for (std::uint32_t part = 1; part <= count; ++part) {
        auto const end = static_cast<std::uint32_t>(std::uint64_t{range} * part / count);
        auto const at = std::uint64_t{turn} + begin + random.below(end - begin);
        visit(static_cast<std::uint32_t>(at < range ? at : at - range));
        begin = end;
    }
}

/// Chooses up to `wanted` positions of `from` for an asker who stands at `self`, or at `none`. One who is complete gets
/// leechers; anyone else gets seeders and leechers, half of each while there are enough of both.
export template <class Set, class Visit>
void choose_peers(dice& random, Set const& from, std::uint32_t self, bool is_complete, std::uint32_t wanted,
                  Visit&& visit) {
    auto take = [&](std::uint32_t first, std::uint32_t last, std::uint32_t count) {
        auto const is_inside = first <= self && self < last;
        choose(random, last - first - (is_inside ? 1 : 0), count, [&](std::uint32_t at) {
            at += first;
            visit(is_inside && at >= self ? at + 1 : at);
        });
    };
    auto const leechers = from.size() - from.seeders() - (from.seeders() <= self && self < from.size() ? 1 : 0);
    auto const seeders_least = wanted - std::min(wanted, leechers);
    auto const seeders = is_complete ? 0 : std::min(from.seeders(), std::max(wanted / 2, seeders_least));
    take(0, from.seeders(), seeders);
    take(from.seeders(), from.size(), wanted - seeders);
}
}  // namespace shoal::registry
