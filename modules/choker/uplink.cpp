module;
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <tuple>
#include <utility>

module shoal.choker;

namespace shoal::choker {
std::optional<std::uint32_t> uplink::next(std::span<waiting_peer const> waiting, bool seeding) {
    waiting_peer const* best = nullptr;
    // In turn: the first behind the last one, then from the beginning.
    auto const rank = [this, seeding](waiting_peer const& peer) {
        auto const whose = party_of(peer);
        return seeding ? std::tuple{last_ && whose <= last_party_, whose, peer.progress, false, peer.id}
                       : std::tuple{false, party{}, peer.progress, last_ && peer.id <= *last_, peer.id};
    };
    for (auto const& peer : waiting) {
        if (last_ == peer.id && peer.is_in_run && run_bytes_ < run_max) return last_;
        if (best == nullptr || rank(peer) < rank(*best)) best = &peer;
    }
    if (best == nullptr) return std::nullopt;
    last_ = best->id;
    last_party_ = party_of(*best);
    run_bytes_ = 0;
    return last_;
}
}  // namespace shoal::choker
