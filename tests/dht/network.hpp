#pragma once
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <variant>
#include <vector>

import shoal.core;
import shoal.dht;

namespace shoal::testing {
using namespace std::chrono_literals;

inline endpoint at(std::string const& text) {
    return *endpoint::parse(text);
}
/// An address of its own network for each number, in the outside world.
inline endpoint outside(std::uint32_t number) {
    return {ip_address::v4({static_cast<std::uint8_t>(20 + number / 65'536 % 64),
                            static_cast<std::uint8_t>(number / 256 % 256), static_cast<std::uint8_t>(number % 256), 7}),
            6881};
}
inline info_hash torrent(std::uint8_t number) {
    info_hash made;
    made.bytes.fill(static_cast<std::byte>(number));
    return made;
}

/// Nodes that reach each other, on a clock of their own. Datagrams take 20 to 80 ms.
class dht_network {
public:
    struct member {
        std::unique_ptr<dht::node> node;
        std::vector<dht::any_event> events;
        std::size_t sent = 0, bytes_sent = 0;
    };
    time_point now{std::chrono::hours{1}};
    std::map<endpoint, member> members;
    std::set<endpoint> silent;  // nothing reaches them, nothing leaves them
    /// Sees every datagram; false: it is lost.
    std::function<bool(endpoint const& from, endpoint const& to, byte_view)> on_datagram;

    dht::node& add(endpoint const& where, bool is_v6 = false, byte_view state = {}) {
        dht::node_settings settings;
        settings.key = {members.size() + 1, where.port};
        settings.is_v6 = is_v6;
        settings.port = where.port;
        settings.state = state;
        auto& made = members[where];
        made.node = std::make_unique<dht::node>(settings, now);
        drain(where, made);
        return *made.node;
    }
    /// A node that is told of another one.
    dht::node& join(endpoint const& where, endpoint const& other) {
        auto& made = add(where);
        made.hear_of(other, now);
        drain(where, members.at(where));
        return made;
    }
    /// A node that begins with another one as its router.
    dht::node& join_by(endpoint const& where, endpoint const& router, bool is_v6 = false, byte_view state = {}) {
        auto& made = add(where, is_v6, state);
        made.set_routers({router}, now);
        drain(where, members.at(where));
        return made;
    }
    /// From somebody that is no node.
    void inject(endpoint const& from, endpoint const& to, byte_vector bytes) { post(from, to, std::move(bytes)); }

    void drain(endpoint const& where, member& of) {
        while (auto out = of.node->next_datagram()) {
            ++of.sent;
            of.bytes_sent += out->bytes.size();
            post(where, out->to, std::move(out->bytes));
        }
        while (auto happened = of.node->next_event()) of.events.push_back(std::move(*happened));
    }
    void run(duration length) {
        auto const end = now + length;
        for (;;) {
            auto next = end;
            if (!under_way_.empty()) next = std::min(next, under_way_.begin()->first);
            for (auto& [where, each] : members) next = std::min(next, each.node->deadline());
            now = std::max(now, next);
            if (now >= end) break;
            while (!under_way_.empty() && under_way_.begin()->first <= now) {
                auto const datagram = std::move(under_way_.begin()->second);
                under_way_.erase(under_way_.begin());
                auto const to = members.find(datagram.to);
                if (to == members.end() || silent.contains(datagram.to)) continue;
                to->second.node->receive(datagram.from, datagram.bytes, now);
                drain(to->first, to->second);
            }
            for (auto& [where, each] : members) {
                if (each.node->deadline() > now) continue;
                each.node->wake(now);
                ++wakes;
                drain(where, each);
            }
        }
    }
    /// What `who` found, and whether its search has ended.
    std::set<endpoint> found(endpoint const& who, info_hash const& what) {
        std::set<endpoint> all;
        for (auto const& each : members.at(who).events)
            if (auto const* peers = std::get_if<dht::event::found>(&each); peers && peers->torrent == what)
                all.insert(peers->peers.begin(), peers->peers.end());
        return all;
    }
    std::optional<dht::event::search_ended> ended(endpoint const& who, info_hash const& what) {
        for (auto const& each : members.at(who).events)
            if (auto const* end = std::get_if<dht::event::search_ended>(&each); end && end->torrent == what)
                return *end;
        return std::nullopt;
    }
    std::size_t wakes = 0;

private:
    struct datagram {
        endpoint from, to;
        byte_vector bytes;
    };
    void post(endpoint const& from, endpoint const& to, byte_vector bytes) {
        if (silent.contains(from) || (on_datagram && !on_datagram(from, to, bytes))) return;
        delay_ = (delay_ * 25'214'903'917u + 11) % (1ull << 48);
        under_way_.emplace(now + std::chrono::milliseconds(20 + (delay_ >> 20) % 60),
                           datagram{from, to, std::move(bytes)});
    }
    std::uint64_t delay_ = 1;
    std::multimap<time_point, datagram> under_way_;
};

/// A network of `count` nodes that have found each other through the first.
inline void grow(dht_network& network, std::uint32_t count, std::function<endpoint(std::uint32_t)> const& where) {
    auto const first = where(0);
    network.add(first);
    for (std::uint32_t i = 1; i < count; ++i) {
        network.join_by(where(i), first);
        network.run(200ms);
    }
    network.run(60s);
}
}  // namespace shoal::testing
