module;
#include <cerrno>
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <system_error>
#include <utility>
#include <vector>

#include "failing_heap.hpp"

module shoal.testing;
import shoal.asio;
import shoal.core;
import shoal.net;
import :world;

namespace shoal::testing {
namespace {
constexpr std::size_t datagrams_held_max = 1000;
constexpr auto overtaken_one_in = 10;

std::error_code system_error(int number) {
    return {number, std::system_category()};
}
}  // namespace

class simulated_datagrams final : public net::datagram_socket {
public:
    simulated_datagrams(world& world, simulated_host& host, endpoint at)
        : world_(world), host_(host), at_(at), arrived_(world.io.get_executor()) {
        if (at_.address.is_multicast())
            host_.members.emplace(at_, this);
        else
            host_.datagrams.emplace(at_.port, this);
    }
    ~simulated_datagrams() override { close(); }

    net::task<result<std::size_t>> receive(std::span<net::datagram> out) override {
        while (waiting_.empty() && !closed_) co_await arrived_.wait();
        if (closed_) co_return net::errc::closed;
        failing_heap::sheltered const own;
        shown_.clear();
        while (shown_.size() < out.size() && !waiting_.empty()) {
            shown_.push_back(std::move(waiting_.front()));
            waiting_.pop_front();
        }
        for (std::size_t i = 0; i < shown_.size(); ++i) out[i] = {shown_[i].first, shown_[i].second};
        co_return shown_.size();
    }

    result<std::size_t> send(std::span<net::datagram const> out) override {
        if (closed_) return net::errc::closed;
        for (auto const& each : out) {
            world_.note_bytes(each.bytes);
            if (each.peer.address.is_multicast()) {
                for (auto const& host : world_.hosts) send(each, host->index);
            } else if (auto const* to = world_.host_at(each.peer.address)) {
                send(each, to->index);
            }
        }
        return out.size();
    }
    endpoint local() const override { return at_; }
    void close() override {
        if (std::exchange(closed_, true)) return;
        if (at_.address.is_multicast())
            std::erase_if(host_.members, [this](auto const& each) { return each.second == this; });
        else
            host_.datagrams.erase(at_.port);
        arrived_.notify();
    }
    void add(endpoint const& from, byte_vector bytes) {
        if (waiting_.size() >= datagrams_held_max || bytes.size() > net::datagram_bytes_max) return;
        waiting_.emplace_back(from, std::move(bytes));
        arrived_.notify();
    }

private:
    void send(net::datagram const& what, std::size_t index) {
        failing_heap::sheltered const own;
        auto const& faults = world_.faults;
        if (world_.is_cut(host_.index, index) || host_.clogged_until > world_.now) return;
        if (faults.datagram_bytes > 0 && what.bytes.size() > faults.datagram_bytes) return;
        if (strikes(faults.datagram_loss)) return;
        endpoint from{at_.address.is_multicast() ? host_.address : at_.address, at_.port};
        if (auto const shown = host_.shown_ports.find(at_.port); shown != host_.shown_ports.end()) {
            auto const spoken_to = host_.spoken_to.find(what.peer);
            from.port = spoken_to == host_.spoken_to.end() ? shown->second : spoken_to->second;
        }
        byte_vector copy(what.bytes.begin(), what.bytes.end());
        if (strikes(faults.datagram_damage))
            copy[world_.random.number() % copy.size()] ^= std::byte{1} << static_cast<int>(world_.random.number() % 8);
        auto const count = strikes(faults.datagram_copies) ? 2 : 1;
        for (int i = 0; i < count; ++i) {
            auto way = world_.latency(host_.index, index) + world_.some_of(faults.jitter);
            if (faults.overtaking > duration::zero() && world_.random.number() % overtaken_one_in == 0)
                way += world_.some_of(faults.overtaking);
            world_.at(world_.now + way, [&w = world_, index, to = what.peer, from, copy]() mutable {
                arrive(w, index, to, from, std::move(copy));
            });
        }
    }
    bool strikes(double fraction) { return fraction > 0 && world_.random.fraction() < fraction; }

    static void arrive(world& w, std::size_t index, endpoint to, endpoint from, byte_vector bytes) {
        failing_heap::sheltered const own;
        auto& host = w.host(index);
        if (host.frozen_until > w.now) {  // it waits in the socket
            w.at(host.frozen_until, [&w, index, to, from, kept = std::move(bytes)]() mutable {
                arrive(w, index, to, from, std::move(kept));
            });
            return;
        }
        if (to.address.is_multicast()) {
            auto const [first, last] = host.members.equal_range(to);
            for (auto each = first; each != last; ++each) {
                w.note("multicast", index, to.port, bytes.size());
                each->second->add(from, bytes);
            }
            return;
        }
        w.note("datagram", index, to.port, bytes.size());
        auto const hidden = host.hidden_ports.find(to.port);
        auto const found = host.datagrams.find(hidden == host.hidden_ports.end() ? to.port : hidden->second);
        if (found == host.datagrams.end()) return;  // a port that was shown before the last move
        if (!host.shown_ports.empty()) {
            if (hidden == host.hidden_ports.end() && host.own_ports_closed_until > w.now) return;
            host.spoken_to[from] = to.port;
        }
        found->second->add(from, std::move(bytes));
    }

    world& world_;
    simulated_host& host_;
    endpoint at_;
    net::signal arrived_;
    std::deque<std::pair<endpoint, byte_vector>> waiting_;
    std::vector<std::pair<endpoint, byte_vector>> shown_;
    bool closed_ = false;
};

result<std::unique_ptr<net::datagram_socket>> simulated_network::open_datagram(endpoint at) {
    failing_heap::sheltered const own;
    auto& here = world_.host(host_);
    if (at.port == 0) at.port = here.free_port();
    if (at.address.is_unspecified()) at.address = here.address;
    if (at.address != here.address) return system_error(EADDRNOTAVAIL);
    if (here.datagrams.contains(at.port)) return system_error(EADDRINUSE);
    return std::make_unique<simulated_datagrams>(world_, here, at);
}

result<std::unique_ptr<net::datagram_socket>> simulated_network::open_multicast(endpoint group,
                                                                                std::optional<ip_address> from) {
    failing_heap::sheltered const own;
    if (!group.address.is_multicast()) return system_error(EINVAL);
    if (from && *from != world_.host(host_).address) return system_error(ENETUNREACH);
    if (!group.address.is_v4()) return system_error(ENETUNREACH);  // the hosts have addresses of IPv4 alone
    return std::make_unique<simulated_datagrams>(world_, world_.host(host_), group);
}
}  // namespace shoal::testing
