module;
#include <algorithm>
#include <array>
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
#include <variant>
#include <vector>

#include <boost/container/deque.hpp>

module shoal.engine;
import shoal.announce;
import shoal.asio;
import shoal.core;
import shoal.net;
import :transfer;
import :swarm;

namespace shoal::engine {
local_group::local_group(node_state& owner, endpoint const& reached_at, std::uint64_t token)
    : node_(owner),
      core_(reached_at.address.is_v4() ? announce::local_group_v4() : announce::local_group_v6(), reached_at.port,
            token),
      news_(owner.home) {
    if (!reached_at.address.is_unspecified()) from_ = reached_at.address;
}

net::task<void> local_group::run() {
    for (;;) {
        if (auto opened = node_.outside.network.open_multicast(core_.group(), from_)) {
            socket_ = std::move(opened.value());
            co_await take_part();
            socket_.reset();
        }
        co_await node_.outside.clock.sleep(local_group_retry_after);
    }
}

net::task<void> local_group::take_part() {
    co_await net::in_task_group([this](net::task_group& tasks) -> net::task<void> {
        tasks.on_failure = node_.settings.on_failure;
        tasks.spawn_lasting("local announces", node_.outside.clock, [this] { return announce(); });
        co_await receive();
    });
}

net::task<void> local_group::receive() {
    std::array<net::datagram, 16> arrived;
    for (;;) {
        auto const got = co_await socket_->receive(arrived);
        if (!got) co_return;
        for (auto const& each : std::span{arrived}.first(got.value()))
            for (auto const& peer : core_.receive(each.bytes, each.peer, node_.now())) {
                auto const [first, last] = node_.announced_locally.equal_range(peer.torrent);
                for (auto who = first; who != last; ++who) who->second->hear_of({peer.at});
            }
        news_.notify();
    }
}

net::task<void> local_group::announce() {
    for (;;) {
        while (auto const out = core_.next_datagram(node_.now())) {
            net::datagram const one{core_.group(), as_bytes(*out)};
            (void)socket_->send({&one, 1});
        }
        co_await node_.outside.clock.wait(news_, core_.deadline());
    }
}

void local_group::close() {
    if (socket_) socket_->close();
}

void local_group::add(info_hash const& torrent) {
    core_.add(torrent, node_.now());
    news_.notify();
}

void local_group::remove(info_hash const& torrent) {
    core_.remove(torrent, node_.now());
    news_.notify();
}

net::task<void> node_state::announce_locally(announced& owner) {
    auto const torrent = owner.numbers().torrent;
    listed<announced> const while_here{announced_locally, torrent, owner, [&] {
                                           for (auto const& each : local_groups) each->remove(torrent);
                                       }};
    for (auto const& each : local_groups) each->add(torrent);
    while (!local_groups.empty() && owner.is_public()) co_await outside.clock.sleep(local_look_interval);
}
}  // namespace shoal::engine
