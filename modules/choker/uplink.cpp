module;
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <tuple>

module shoal.choker;

namespace shoal::choker {
std::optional<std::uint32_t> uplink::next(std::span<waiting_peer const> waiting) {
    waiting_peer const* best = nullptr;
    // among equals the first behind the last one, by id
    auto const rank = [this](waiting_peer const& peer) {
        return std::tuple{peer.progress, last_ && peer.id <= *last_, peer.id};
    };
    for (auto const& peer : waiting) {
        if (last_ == peer.id && peer.is_in_run && run_bytes_ < run_max) return last_;
        if (best == nullptr || rank(peer) < rank(*best)) best = &peer;
    }
    if (best == nullptr) return std::nullopt;
    last_ = best->id;
    run_bytes_ = 0;
    return last_;
}
}  // namespace shoal::choker
