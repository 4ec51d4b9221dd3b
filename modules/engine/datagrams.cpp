module;
#include <algorithm>
#include <array>
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <deque>
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
#include <variant>
#include <vector>

#include "core/try.hpp"

module shoal.engine;
import shoal.asio;
import shoal.bencode;
import shoal.core;
import shoal.dht;
import shoal.metainfo;
import shoal.net;
import :transfer;
import :swarm;

namespace shoal::engine {
namespace {
/// Datagrams received and sent by one system call.
constexpr std::size_t batch_max = 64;

std::string_view family_name(bool is_v6) noexcept {
    return is_v6 ? "v6" : "v4";
}

dht::node_settings dht_settings(node_state& owner, endpoint const& local, byte_view state) {
    dht::node_settings settings;
    settings.key = {owner.outside.random.next(), owner.outside.random.next()};
    settings.is_v6 = !local.address.is_v4();
    settings.port = local.port;
    settings.state = state;
    return settings;
}
}  // namespace

datagram_port::datagram_port(node_state& owner, std::unique_ptr<net::datagram_socket> socket)
    : local(socket->local()), node_(owner), socket_(std::move(socket)), deadline_moved_(owner.home) {
    if (!node_.settings.dht) return;
    byte_view state;
    auto const kept = bencode::decode(node_.settings.dht_state, {.depth_max = 4, .items_max = 64});
    if (kept) state = kept.value().root().find_bytes(family_name(!local.address.is_v4())).value_or(byte_view{});
    dht_.emplace(dht_settings(node_, local, state), node_.now());
}

net::task<void> datagram_port::receive() {
    std::array<net::datagram, batch_max> arrived;
    for (;;) {
        auto const got = co_await socket_->receive(arrived);
        if (!got) co_return;
        auto const now = node_.now();
        for (auto const& each : std::span{arrived}.first(got.value()))
            if (dht_) dht_->receive(each.peer, each.bytes, now);
        news();
    }
}

net::task<void> datagram_port::keep_time() {
    for (;;) {
        drain();
        auto const until = dht_ ? dht_->deadline() : time_point::max();
        if (co_await node_.outside.clock.wait(deadline_moved_, until)) continue;
        if (dht_ && node_.now() >= dht_->deadline()) dht_->wake(node_.now());
    }
}

void datagram_port::news() {
    drain();
    deadline_moved_.notify();
}

void datagram_port::drain() {
    if (!dht_) return;
    // What the socket does not take is lost, as datagrams are.
    while (auto const out = dht_->next_datagram()) {
        net::datagram const one{out->to, out->bytes};
        (void)socket_->send({&one, 1});
    }
    while (auto const happened = dht_->next_event()) hand_on(*happened);
}

void datagram_port::hand_on(dht::any_event const& happened) {
    if (auto const* peers = std::get_if<dht::event::found>(&happened)) {
        auto const [first, last] = node_.dht_announcers.equal_range(peers->torrent);
        for (auto each = first; each != last; ++each) each->second->found(peers->peers);
    } else if (auto const* search = std::get_if<dht::event::search_ended>(&happened)) {
        auto const [first, last] = node_.dht_announcers.equal_range(search->torrent);
        for (auto each = first; each != last; ++each) each->second->ended(*search);
    }
}

std::uint16_t node_state::dht_port(ip_address const& family) const noexcept {
    for (auto const& each : datagram_ports)
        if (each->dht() && each->local.address.is_v4() == family.is_v4()) return each->local.port;
    return 0;
}

void node_state::hear_of_nodes(std::vector<endpoint> const& at) {
    for (auto const& each : datagram_ports) {
        if (!each->dht()) continue;
        for (auto const& node : at) each->dht()->hear_of(node, now());
        each->news();
    }
}

void node_state::hear_of_nodes(std::vector<metainfo::host_port> named) {
    if (named.empty() || !settings.dht || is_stopping) return;
    tasks.spawn("nodes of the DHT", resolve_nodes(std::move(named), false));
}

net::task<void> node_state::resolve_nodes(std::vector<metainfo::host_port> named, bool are_routers) {
    std::vector<endpoint> found;
    for (auto const& each : named) {
        auto const addresses =
            co_await net::with_deadline(outside.clock, now() + connect_timeout, outside.network.resolve(each.host));
        if (!addresses) continue;
        for (auto const& address : addresses.value()) found.push_back({address, each.port});
    }
    if (!are_routers) co_return hear_of_nodes(found);
    for (auto const& each : datagram_ports) {
        if (!each->dht()) continue;
        each->dht()->set_routers(found, now());
        each->news();
    }
}

byte_vector node::dht_state() const {
    bencode::encoder out;
    out.dictionary();
    bool is_any = false;
    for (bool const is_v6 : {false, true})
        for (auto const& each : state_->datagram_ports)
            if (each->dht() && each->local.address.is_v4() != is_v6) {
                out.entry(family_name(is_v6), byte_view{each->dht()->state()});
                is_any = true;
                break;
            }
    out.end();
    return is_any ? out.take() : byte_vector{};
}

std::size_t node::dht_nodes() const {
    std::size_t count = 0;
    for (auto const& each : state_->datagram_ports)
        if (each->dht()) count += each->dht()->nodes();
    return count;
}
}  // namespace shoal::engine
