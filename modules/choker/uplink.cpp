module;
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <tuple>
#include <utility>

module shoal.choker;

namespace shoal::choker {
std::optional<std::uint32_t> uplink::next(std::span<waiting_peer const> waiting, bool seeding) {
    if (waiting.empty()) return std::nullopt;
    for (auto const& peer : waiting)
        if (last_ == peer.id && peer.is_in_run && run_bytes_ < run_max) return last_;
    auto const turn = [this, seeding](waiting_peer const& peer) {
        if (!seeding) return std::tuple{std::uint64_t{0}, party{}, peer.progress, last_ && peer.id <= *last_, peer.id};
        auto const whose = party_of(peer);
        auto const served = served_.find(whose);
        return std::tuple{served == served_.end() ? 0 : served->second, whose, peer.progress, false, peer.id};
    };
    auto const rarity = [&turn](waiting_peer const& peer) { return std::tuple{peer.copies, turn(peer)}; };
    auto const best = seeding && runs_ % 2 == 1 ? std::ranges::min_element(waiting, {}, rarity)
                                                : std::ranges::min_element(waiting, {}, turn);
    if (seeding) note_served(party_of(*best), waiting);
    last_ = best->id;
    run_bytes_ = 0;
    return last_;
}

void uplink::note_served(party const& whose, std::span<waiting_peer const> waiting) {
    served_[whose] = ++runs_;
    if (served_.size() <= served_remembered_max + waiting.size()) return;
    std::set<party> here;
    for (auto const& peer : waiting) here.insert(party_of(peer));
    std::erase_if(served_, [&](auto const& each) { return !here.contains(each.first); });
}
}  // namespace shoal::choker
