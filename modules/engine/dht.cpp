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

module shoal.engine;
import shoal.announce;
import shoal.asio;
import shoal.core;
import shoal.dht;
import shoal.net;
import :transfer;
import :swarm;

namespace shoal::engine {
dht_announcer::dht_announcer(announced& owner, bool announces)
    : owner_(owner),
      node_(owner.at_node()),
      torrent_(owner.numbers().torrent),
      announces_(announces),
      news_(node_.home) {}

net::task<void> dht_announcer::run() {
    listed<dht_announcer> const while_here{node_.dht_announcers, torrent_, *this, [this] {
                                               for (auto const& each : node_.datagram_ports)
                                                   if (each->dht()) each->dht()->forget(torrent_, node_.now());
                                           }};
    duration ask_again_after = dht_ask_again_after;
    while (owner_.is_public()) {
        outcome_ = {};
        under_way_ = 0;
        for (auto const& each : node_.datagram_ports) {
            if (!each->dht()) continue;
            each->dht()->find(torrent_, announces_, node_.now());
            ++under_way_;
            each->news();
        }
        if (under_way_ == 0) co_return;
        // A network of one family in which nobody is known keeps the other one waiting no longer than that.
        auto const last = node_.now() + dht_announce_interval;
        while (under_way_ > 0 && co_await node_.outside.clock.wait(news_, last));
        owner_.tell(outcome_);
        bool const is_due = owner_.is_hungry() || (announces_ && outcome_.told == 0);
        co_await node_.outside.clock.sleep(is_due ? ask_again_after : dht_announce_interval);
        ask_again_after = is_due ? std::min<duration>(2 * ask_again_after, dht_announce_interval) : dht_ask_again_after;
    }
}

void dht_announcer::found(std::vector<endpoint> const& peers) {
    outcome_.peers += peers.size();
    owner_.hear_of(peers);
}

void dht_announcer::ended(dht::event::search_ended const& search) {
    outcome_.nodes += search.nodes;
    outcome_.told += search.told;
    if (under_way_ > 0) --under_way_;
    news_.notify();
}
}  // namespace shoal::engine
