module;
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cmath>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
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
using namespace std::chrono_literals;

constexpr std::size_t pipe_bytes_max = 256 * 1024;  // about what Linux gives a loopback connection at first
// A turn on a shared uplink: 20 ms, so that a short message is not held up long, but not below a packet's bytes.
constexpr std::uint64_t chunks_per_second = 50;
constexpr std::size_t chunk_bytes_min = 1400;
constexpr std::size_t chunk_bytes_max = 16 * 1024;
constexpr std::size_t short_transfer_max = 2000;
constexpr auto connect_again_after = 1s;  // as TCP repeats its first segment
constexpr auto slow_name_after = 20s;

std::error_code system_error(int number) {
    return {number, std::system_category()};
}

std::size_t chunk_bytes(host_link const& link) {
    if (link.upload == 0) return chunk_bytes_max;
    return std::clamp<std::size_t>(link.upload / chunks_per_second, chunk_bytes_min, chunk_bytes_max);
}

duration time_for(std::size_t bytes, std::uint64_t per_second) {
    if (per_second == 0) return {};
    return duration{static_cast<std::int64_t>(static_cast<double>(bytes) * 1e9 / static_cast<double>(per_second))};
}
}  // namespace

/// One direction of a connection.
struct pipe {
    pipe(world& world, std::size_t from, std::size_t to)
        : readable(world.io.get_executor()), writable(world.io.get_executor()), sender(from), receiver(to) {}

    net::signal readable, writable;
    std::size_t sender, receiver;
    std::weak_ptr<connection> whole;
    std::deque<byte_vector> unsent;   // an empty chunk is the end of the stream
    std::deque<byte_vector> held;     // arrived while the hosts were apart
    std::deque<byte_vector> arrived;  // not read yet
    std::size_t taken_of_first = 0;   // bytes of `arrived.front()` that were read
    std::size_t bytes = 0;            // written and not read
    std::uint64_t carried = 0;
    std::uint64_t break_after = 0;  // 0: never
    time_point last_arrival{};
    bool in_turn = false;        // listed in the sender's uplink
    bool ended = false;          // the end has arrived
    bool reader_closed = false;  // nobody takes what arrives
};

struct connection {
    std::shared_ptr<pipe> there, back;
    bool broken = false;

    void reset() {
        broken = true;
        for (auto const& each : {there, back}) {
            each->unsent.clear();
            each->held.clear();
            each->arrived.clear();
            each->readable.notify();
            each->writable.notify();
        }
    }
};

namespace {
void deliver(world& world, std::shared_ptr<pipe> const& to, byte_vector chunk) {
    auto const whole = to->whole.lock();
    if (!whole || whole->broken || to->ended) return;
    if (!to->held.empty() || world.holds_back(to->sender, to->receiver)) {
        to->held.push_back(std::move(chunk));
        return;
    }
    world.note("arrive", to->sender, to->receiver, chunk.size());
    if (chunk.empty()) {
        to->ended = true;
        to->readable.notify();
        return;
    }
    to->carried += chunk.size();
    if (to->reader_closed || (to->break_after != 0 && to->carried >= to->break_after)) {
        world.note("break", to->sender, to->receiver, to->carried);
        whole->reset();
        return;
    }
    to->arrived.push_back(std::move(chunk));
    to->readable.notify();
}

void send_next(world& world, simulated_host& host);

/// The sender's uplink has put the chunk on its way.
void travel(world& world, std::shared_ptr<pipe> const& to, byte_vector chunk) {
    auto const way = world.latency(to->sender, to->receiver) + world.some_of(world.faults.jitter);
    auto const arrival = std::max(world.now + way, to->last_arrival);
    to->last_arrival = arrival;
    world.at(arrival, [&world, to, chunk = std::move(chunk)]() mutable {
        auto& host = world.host(to->receiver);
        host.downlink_free = std::max(world.now, host.downlink_free) + time_for(chunk.size(), host.link.download);
        world.at(host.downlink_free,
                 [&world, to, c = std::move(chunk)]() mutable { deliver(world, to, std::move(c)); });
    });
}

void take_turn(world& world, std::shared_ptr<pipe> const& to) {
    auto& host = world.host(to->sender);
    if (to->in_turn || to->unsent.empty()) return;
    to->in_turn = true;
    host.uplink.push_back(to);
    if (!host.uplink_busy) send_next(world, host);
}

void send_next(world& world, simulated_host& host) {
    if (host.clogged_until > world.now) {
        host.uplink_busy = true;
        world.at(host.clogged_until, [&world, &host] {
            host.uplink_busy = false;
            send_next(world, host);
        });
        return;
    }
    while (!host.uplink.empty()) {
        auto const to = host.uplink.front();
        host.uplink.pop_front();
        to->in_turn = false;
        if (to->unsent.empty()) continue;  // reset meanwhile
        auto chunk = std::move(to->unsent.front());
        to->unsent.pop_front();
        host.uplink_busy = true;
        auto const sent = world.now + time_for(chunk.size(), host.link.upload);
        world.at(sent, [&world, &host, to, c = std::move(chunk)]() mutable {
            host.uplink_busy = false;
            travel(world, to, std::move(c));
            take_turn(world, to);
            if (!host.uplink_busy) send_next(world, host);
        });
        return;
    }
}

class simulated_stream final : public net::stream {
public:
    simulated_stream(world& world, std::shared_ptr<connection> whole, std::shared_ptr<pipe> in,
                     std::shared_ptr<pipe> out, endpoint local, endpoint remote)
        : world_(world),
          whole_(std::move(whole)),
          in_(std::move(in)),
          out_(std::move(out)),
          local_(local),
          remote_(remote) {}
    ~simulated_stream() override { close(); }

    net::task<result<std::size_t>> read_some(std::span<mutable_byte_view const> places) override {
        for (;;) {
            if (closed_) co_return net::errc::closed;
            if (whole_->broken) co_return system_error(ECONNRESET);
            if (!in_->arrived.empty()) co_return take(places.first(std::min(places.size(), net::buffers_max)));
            if (in_->ended) co_return net::errc::closed;
            co_await in_->readable.wait();
        }
    }

    net::task<result<std::size_t>> write_some(std::span<byte_view const> runs) override {
        for (;;) {
            if (closed_) co_return net::errc::closed;
            if (whole_->broken) co_return system_error(EPIPE);
            if (out_->bytes < pipe_bytes_max) co_return put(runs.first(std::min(runs.size(), net::buffers_max)));
            co_await out_->writable.wait();
        }
    }

    void close() override {
        failing_heap::sheltered const own;
        if (std::exchange(closed_, true)) return;
        in_->reader_closed = true;
        in_->readable.notify();
        out_->writable.notify();
        if (whole_->broken) return;
        out_->unsent.emplace_back();
        take_turn(world_, out_);
    }
    endpoint local() const override { return local_; }
    endpoint remote() const override { return remote_; }

private:
    std::size_t transfer_max() {
        return world_.faults.short_transfers ? 1 + world_.random.number() % short_transfer_max : pipe_bytes_max;
    }

    std::size_t take(std::span<mutable_byte_view const> places) {
        failing_heap::sheltered const own;
        auto left = transfer_max();
        std::size_t done = 0;
        for (auto place : places) {
            while (!place.empty() && left > 0 && !in_->arrived.empty()) {
                auto const rest = byte_view{in_->arrived.front()}.subspan(in_->taken_of_first);
                auto const count = std::min({place.size(), left, rest.size()});
                std::copy_n(rest.begin(), count, place.begin());
                place = place.subspan(count);
                left -= count;
                done += count;
                in_->taken_of_first += count;
                if (count < rest.size()) continue;
                in_->arrived.pop_front();
                in_->taken_of_first = 0;
            }
        }
        in_->bytes -= done;
        in_->writable.notify();
        return done;
    }

    std::size_t put(std::span<byte_view const> runs) {
        failing_heap::sheltered const own;
        auto left = std::min(transfer_max(), pipe_bytes_max - out_->bytes);
        auto const chunk_max = chunk_bytes(world_.host(out_->sender).link);
        std::size_t done = 0;
        for (auto run : runs) {
            while (!run.empty() && left > 0) {
                if (out_->unsent.empty() || out_->unsent.back().size() >= chunk_max) out_->unsent.emplace_back();
                auto& chunk = out_->unsent.back();
                auto const count = std::min({run.size(), left, chunk_max - chunk.size()});
                world_.note_bytes(run.first(count));
                chunk.insert(chunk.end(), run.begin(), run.begin() + static_cast<std::ptrdiff_t>(count));
                run = run.subspan(count);
                left -= count;
                done += count;
            }
        }
        out_->bytes += done;
        take_turn(world_, out_);
        return done;
    }

    world& world_;
    std::shared_ptr<connection> whole_;
    std::shared_ptr<pipe> in_, out_;
    endpoint local_, remote_;
    bool closed_ = false;
};
}  // namespace

class simulated_listener final : public net::listener {
public:
    simulated_listener(world& world, simulated_host& host, endpoint at)
        : host_(host), at_(at), arrived_(world.io.get_executor()) {
        host_.listeners.emplace(at_.port, this);
    }
    ~simulated_listener() override { close(); }

    net::task<result<std::unique_ptr<net::stream>>> accept() override {
        for (;;) {
            if (closed_) co_return net::errc::closed;
            if (!waiting_.empty() && !host_.has_no_descriptors) {
                auto next = std::move(waiting_.front());
                waiting_.pop_front();
                co_return next;
            }
            co_await arrived_.wait();
        }
    }
    endpoint local() const override { return at_; }
    void close() override {
        if (std::exchange(closed_, true)) return;
        host_.listeners.erase(at_.port);
        waiting_.clear();
        arrived_.notify();
    }
    void add(std::unique_ptr<net::stream> next) {
        waiting_.push_back(std::move(next));
        arrived_.notify();
    }
    void look_again() { arrived_.notify(); }

private:
    simulated_host& host_;
    endpoint at_;
    net::signal arrived_;
    std::deque<std::unique_ptr<net::stream>> waiting_;
    bool closed_ = false;
};

net::task<result<std::unique_ptr<net::stream>>> simulated_network::connect(endpoint to,
                                                                           std::optional<ip_address> from) {
    auto& here = world_.host(host_);
    if (here.has_no_descriptors) co_return system_error(EMFILE);
    if (from && *from != here.address) co_return system_error(EADDRNOTAVAIL);
    // Every address of 127/8 is this host itself.
    auto* const there = to.address.is_loopback() ? &here : world_.host_at(to.address);
    if (there == nullptr) {
        co_await world_.clock.sleep(2 * here.link.latency);
        co_return system_error(EHOSTUNREACH);
    }
    co_await world_.clock.sleep(2 * world_.latency(host_, there->index));
    auto const is_heard = [&] {
        return !world_.faults.only_datagrams && !world_.is_cut(host_, there->index) &&
               !world_.is_cut(there->index, host_);
    };
    while (!is_heard()) co_await world_.clock.sleep(connect_again_after);
    auto const found = there->listeners.find(to.port);
    world_.note("connect", host_, there->index, found != there->listeners.end());
    if (found == there->listeners.end()) co_return system_error(ECONNREFUSED);

    failing_heap::sheltered const own;
    auto const whole = std::make_shared<connection>();
    whole->there = std::make_shared<pipe>(world_, host_, there->index);
    whole->back = std::make_shared<pipe>(world_, there->index, host_);
    for (auto const& each : {whole->there, whole->back}) {
        each->whole = whole;
        auto const mean = static_cast<double>(world_.faults.reset_after_mean);
        if (mean > 0) each->break_after = 1 + static_cast<std::uint64_t>(-mean * std::log1p(-world_.random.fraction()));
    }
    std::erase_if(world_.connections, [](auto const& each) { return each.expired(); });
    world_.connections.push_back(whole);
    endpoint const local{to.address.is_loopback() ? to.address : here.address, here.free_port()};
    found->second->add(std::make_unique<simulated_stream>(world_, whole, whole->there, whole->back, to, local));
    co_return std::make_unique<simulated_stream>(world_, whole, whole->back, whole->there, local, to);
}

result<std::unique_ptr<net::listener>> simulated_network::listen(endpoint at) {
    failing_heap::sheltered const own;
    auto& here = world_.host(host_);
    if (at.port == 0) at.port = here.free_port();
    if (at.address.is_unspecified()) at.address = here.address;
    if (at.address != here.address && !at.address.is_loopback()) return system_error(EADDRNOTAVAIL);
    if (here.listeners.contains(at.port)) return system_error(EADDRINUSE);
    return std::make_unique<simulated_listener>(world_, here, at);
}

net::task<result<std::vector<ip_address>>> simulated_network::resolve(std::string host) {
    if (auto const address = ip_address::parse(host)) co_return std::vector{*address};
    co_await world_.clock.sleep(world_.host(host_).link.latency);
    auto const how = world_.names_are;
    if (how == name_fault::is_slow) co_await world_.clock.sleep(slow_name_after);
    auto const found = world_.names.find(host);
    if (found == world_.names.end() || how == name_fault::fails) co_return net::errc::host_unknown;
    if (how == name_fault::is_wrong) co_return std::vector{ip_address::v4({10, 0, 255, 1})};  // nobody is there
    co_return found->second;
}

void deliver_held(world& world) {
    for (auto const& each : world.connections) {
        auto const whole = each.lock();
        if (!whole) continue;
        for (auto const& way : {whole->there, whole->back}) {
            if (way->held.empty() || world.holds_back(way->sender, way->receiver)) continue;
            auto held = std::exchange(way->held, {});
            for (auto& chunk : held) deliver(world, way, std::move(chunk));
        }
    }
}

void end_half(world& world, std::size_t host) {
    for (auto const& each : world.connections) {
        auto const whole = each.lock();
        if (!whole || whole->broken) continue;
        for (auto const& way : {whole->there, whole->back}) {
            if (way->receiver != host) continue;
            way->held.clear();
            way->ended = true;
            way->readable.notify();
        }
    }
}

void clog(world& world, std::size_t host, duration length) {
    auto& link = world.host(host);
    link.clogged_until = std::max(link.clogged_until, world.now + length);
}

void let_in(simulated_host& host) {
    for (auto const& [port, each] : host.listeners) each->look_again();
}

void reset_all(world& world, std::size_t host) {
    for (auto const& each : world.connections) {
        auto const whole = each.lock();
        if (whole && (whole->there->sender == host || whole->there->receiver == host)) whole->reset();
    }
}
}  // namespace shoal::testing
