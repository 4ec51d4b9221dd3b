module;
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <tuple>

module shoal.choker;

namespace shoal::choker {
std::optional<std::uint32_t> gives_way(std::span<place const> taken, share_holder const& newcomer) {
    struct holding {
        std::size_t all = 0, useful = 0;
    };
    std::map<ip_address, holding> of_network;
    for (auto const& each : taken) {
        if (!each.network) continue;
        auto& held = of_network[*each.network];
        ++held.all;
        if (each.is_useful) ++held.useful;
    }
    auto const at_home = newcomer ? of_network.find(*newcomer) : of_network.end();
    auto const own = at_home == of_network.end() ? 0 : at_home->second.all;
    place const* first = nullptr;
    auto const rank = [&](place const& each) {
        return std::tuple{-static_cast<std::ptrdiff_t>(of_network[*each.network].all), each.is_useful, each.moved,
                          -each.since.time_since_epoch(), each.id};
    };
    for (auto const& each : taken) {
        if (!each.network) continue;
        auto const& held = of_network[*each.network];
        if (held.all <= own + 1 || (each.is_useful && held.useful <= useful_places_kept)) continue;
        if (first == nullptr || rank(each) < rank(*first)) first = &each;
    }
    return first == nullptr ? std::nullopt : std::optional{first->id};
}
}  // namespace shoal::choker
