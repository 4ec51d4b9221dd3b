module;
#include <algorithm>
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <system_error>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include <boost/container/deque.hpp>

#include "core/canary.hpp"

module shoal.engine;
import shoal.core;
import shoal.dht;
import :transfer;
import :swarm;

namespace shoal::engine {
bool can_be_peer(endpoint const& at) noexcept {
    return at.port != 0 && !at.address.is_unspecified() && !at.address.is_multicast();
}

bool may_tell_of(ip_address const& teller, endpoint const& told) noexcept {
    return told.port >= low_ports_end && dht::means_the_same(told.address, teller);
}

duration back_off(unsigned failures) noexcept {
    auto const doubled = reconnect_after * (1 << std::min(failures, 10u));
    return std::min<duration>(doubled, reconnect_after_max);
}

bool hear_of(peer_book& known, std::vector<endpoint> const& peers, time_point now) {
    if (std::ranges::all_of(peers, [&](endpoint const& each) { return known.contains(each); })) return false;
    std::size_t hearsay = 0;
    crowd ports;
    for (auto const& [at, each] : known)
        if (each.is_hearsay) ++hearsay, ports.add(at.address);
    // Whoever was tried in vain gives way: it has rested longest whose rest ends first.
    auto const make_room = [&] {
        auto oldest = known.end();
        for (auto each = known.begin(); each != known.end(); ++each) {
            auto const& [at, peer] = *each;
            bool const gives_way = peer.is_hearsay && !peer.is_busy && !peer.is_banned && peer.try_at > now;
            if (gives_way && (oldest == known.end() || peer.try_at < oldest->second.try_at)) oldest = each;
        }
        if (oldest == known.end()) return false;
        ports.remove(oldest->first.address);
        --hearsay;
        known.erase(oldest);
        return true;
    };
    bool is_any_new = false;
    for (auto const& at : peers) {
        if (!can_be_peer(at) || at.port < low_ports_end || known.contains(at)) continue;
        // All that are told of may be one victim (class D5).
        if (!ports.has_room_for(at.address, hearsay_per_address_max) && !at.address.is_loopback()) continue;
        if ((hearsay >= hearsay_max || known.size() >= known_peers_max) && !make_room()) break;
        known.try_emplace(at, known_peer{.is_hearsay = true});
        ++hearsay, ports.add(at.address);
        is_any_new = true;
    }
    return is_any_new;
}

bool name(peer_book& known, endpoint const& at) {
    if (!can_be_peer(at)) return true;
    if (known.size() >= known_peers_max && !known.contains(at)) return false;
    // Who was only hearsay until now, and rests for it, is tried like anybody who is named.
    if (auto& peer = known[at]; peer.is_hearsay) peer = {.is_busy = peer.is_busy, .is_banned = peer.is_banned};
    return true;
}

void try_more(peer_book& known, std::size_t const& connecting, time_point now,
              std::function<tried(endpoint const&)> const& begin) {
    for (bool const on_hearsay : {false, true}) {  // who was named goes first
        for (auto& [at, peer] : known) {
            if (connecting >= (on_hearsay ? hearsay_connecting_max : connecting_max)) break;
            if (peer.is_hearsay != on_hearsay || peer.is_busy || peer.is_banned || peer.try_at > now) continue;
            auto const how = begin(at);
            if (how == tried::enough) return;
            if (how == tried::begun) peer.is_busy = true;
        }
    }
}

void failed(known_peer& peer, time_point now) {
    peer.try_at = is_planted("back_off_never_ends") ? time_point::max() : now + back_off(peer.failures++);
    if (!peer.is_hearsay || peer.failures < hearsay_tries_max) return;
    peer.try_at = now + hearsay_rest;
    // In vain after its rest, too: it is forgotten, or the book of a swarm whose peers come and go would grow for ever.
    peer.failures = std::exchange(peer.has_rested, true) ? connect_failures_max + 1 : hearsay_tries_max - 1;
}
}  // namespace shoal::engine
