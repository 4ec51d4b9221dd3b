module;
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <tuple>
#include <utility>
#include <vector>

#include "core/canary.hpp"

module shoal.choker;

namespace shoal::choker {
namespace {
/// Who is served stays served for a while, so that a slot is not spent on slow starts.
bool keeps_slot(candidate const& peer, time_point now) noexcept {
    return peer.is_unchoked && !peer.is_idle && now - peer.last_unchoked < slot_kept_for;
}

bool earns_slot(candidate const& peer) noexcept {
    return peer.download_rate > 0 && !peer.is_snubbed;
}
}  // namespace

std::size_t slots_for(std::uint64_t upload_limit) noexcept {
    if (upload_limit == 0) return slots_max;
    return std::clamp<std::size_t>(upload_limit / slot_rate, slots_min, slots_max);
}

choker::choker(choker_settings settings)
    : settings_(settings), random_state_((settings.seed * 2 + 1) * 0x9e37'79b9'7f4a'7c15U) {}

void choker::changed(time_point now) {
    deadline_ = std::min(deadline_, std::max(now, last_round_ + round_gap));
}

std::vector<std::uint32_t> choker::round(std::span<candidate const> candidates, bool seeding,
                                         std::uint64_t upload_limit, time_point now) {
    last_round_ = now;
    deadline_ = now + round_every;
    auto slots = settings_.slots != 0 ? settings_.slots : slots_for(upload_limit);

    std::vector<candidate> waiting;
    for (auto const& peer : candidates) {
        if (is_planted("slot_given_once") && !peer.is_unchoked && peer.last_unchoked != time_point{}) continue;
        if (peer.is_interested && !peer.is_upload_only) waiting.push_back(peer);
    }
    for (auto i = waiting.size(); i > 1; --i) std::swap(waiting[i - 1], waiting[random() % i]);

    // As a seed: what the peers of a network have in common. Who stands alone is found under nothing.
    struct common {
        std::size_t served = 0;
        std::uint64_t uploaded = 0;
    };
    std::map<ip_address, common> of_network;
    if (seeding)
        for (auto const& peer : candidates)
            if (peer.network) of_network[*peer.network].uploaded += peer.uploaded_total;
    auto const shared = [&](candidate const& peer) {
        auto const found = peer.network ? of_network.find(*peer.network) : of_network.end();
        return found == of_network.end() ? common{.uploaded = peer.uploaded_total} : found->second;
    };

    std::vector<std::uint32_t> served;
    auto const serve = [&](std::size_t at) {
        served.push_back(waiting[at].id);
        if (seeding && waiting[at].network) ++of_network[*waiting[at].network].served;
        waiting.erase(waiting.begin() + static_cast<std::ptrdiff_t>(at));
        --slots;
    };
    if (!seeding && !waiting.empty() && (slots > 1 || std::ranges::none_of(waiting, earns_slot))) {
        serve(choose_optimistic(waiting, now));
    }
    auto const rank = [&](candidate const& peer) {
        auto const earns = !seeding && earns_slot(peer);
        auto const keeps = keeps_slot(peer, now);
        // Who holds a slot and takes nothing would else have got least for ever, and keep it (class C14).
        auto const idle_turns = peer.idle_turns + (peer.is_idle ? 1u : 0u);
        auto const [served_there, uploaded_there] = shared(peer);
        return std::tuple{!(earns && keeps),  earns ? ~peer.download_rate : ~std::uint64_t{0},
                          served_there,       !keeps,
                          idle_turns,         uploaded_there,
                          peer.uploaded_total};
    };
    // One after the other: whom a network gets in has a say in who is next of it.
    while (slots > 0 && !waiting.empty())
        serve(static_cast<std::size_t>(std::ranges::min_element(waiting, {}, rank) - waiting.begin()));
    // the optimistic choice was made first, but gives least
    if (!seeding && served.size() > 1) std::ranges::rotate(served, served.begin() + 1);
    return served;
}

std::size_t choker::choose_optimistic(std::span<candidate const> waiting, time_point now) noexcept {
    auto const current = std::ranges::find(waiting, optimistic_id_, &candidate::id);
    if (has_optimistic_ && current != waiting.end() && now - optimistic_since_ < optimistic_every) {
        return static_cast<std::size_t>(current - waiting.begin());
    }
    // those that are served already have shown what they can do, unless there is nobody else
    auto const weight = [&](candidate const& peer) -> std::uint64_t {
        if (peer.is_unchoked) return 0;
        return now - peer.connected_since < new_for ? new_peer_weight : 1;
    };
    std::uint64_t sum = 0;
    for (auto const& peer : waiting) sum += weight(peer);
    std::size_t chosen = 0;
    if (sum > 0) {
        auto left = random() % sum;
        while (left >= weight(waiting[chosen])) left -= weight(waiting[chosen++]);
    }
    has_optimistic_ = true;
    optimistic_id_ = waiting[chosen].id;
    optimistic_since_ = now;
    return chosen;
}

std::uint64_t choker::random() noexcept {
    // xorshift64*; the state is never 0, since an odd number times an odd number is odd
    random_state_ ^= random_state_ >> 12U;
    random_state_ ^= random_state_ << 25U;
    random_state_ ^= random_state_ >> 27U;
    return random_state_ * 0x2545'f491'4f6c'dd1dU;
}
}  // namespace shoal::choker
