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
#include <new>
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

#include "core/try.hpp"

module shoal.engine;
import shoal.asio;
import shoal.bencode;
import shoal.core;
import shoal.dht;
import shoal.metainfo;
import shoal.net;
import shoal.store;
import shoal.utp;
import :transfer;
import :swarm;

namespace shoal::engine {
namespace {
/// Datagrams received and sent by one system call.
constexpr std::size_t batch_max = 64;
/// Wait before the next try when the socket's buffer is full; a driver has no notice of its room.
constexpr auto full_wait = std::chrono::milliseconds{1};
/// Wait after a failure to receive.
constexpr auto receive_again_after = std::chrono::seconds{1};
/// Bytes that a stream takes by one write.
constexpr std::size_t write_max = 64 * 1024;
/// Closing connections have so long to be acknowledged when the node stops.
constexpr auto linger_max = std::chrono::milliseconds{500};
/// Routers whose names did not resolve are asked for again after so long, and after twice that, up to the second.
constexpr auto resolve_again_after = std::chrono::seconds{10};
constexpr auto resolve_again_after_max = std::chrono::minutes{5};

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
    if (node_.settings.utp) {
        utp_.emplace(utp::host_settings{.seed = node_.outside.random.next()});
        batch_.resize(batch_max * utp::limits::datagram_max);
        copied_.resize(write_max);
    }
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
        if (!got && got.error() == net::errc::closed) co_return;
        if (!got) {  // no memory, for example: it may pass
            co_await node_.outside.clock.sleep(receive_again_after);
            continue;
        }
        auto const now = node_.now();
        for (auto const& each : std::span{arrived}.first(got.value())) {
            if (utp_ && utp::is_packet(each.bytes))
                utp_->receive(each.peer, each.bytes, now);
            else if (dht_)
                dht_->receive(each.peer, each.bytes, now);
        }
        news();
    }
}

net::task<void> datagram_port::keep_time() {
    for (;;) {
        drain();
        if (co_await node_.outside.clock.wait(deadline_moved_, deadline())) continue;
        auto const now = node_.now();
        if (dht_ && now >= dht_->deadline()) dht_->wake(now);
        if (utp_ && now >= utp_->deadline()) utp_->wake(now);
    }
}

void datagram_port::news() {
    drain();
    deadline_moved_.notify();
}

time_point datagram_port::deadline() const noexcept {
    auto first = full_until_.value_or(time_point::max());
    if (dht_) first = std::min(first, dht_->deadline());
    if (utp_) first = std::min(first, utp_->deadline());
    return first;
}

void datagram_port::drain() {
    if (dht_) send_dht();
    if (utp_) send_utp();
}

void datagram_port::send_utp() {
    while (auto const stranger = utp_->accept()) node_.welcome(stream_of(*stranger));
    while (auto const which = utp_->next_changed())
        if (auto const stream = streams_.find(*which); stream != streams_.end()) stream->second->changed();
    auto const now = node_.now();
    if (full_until_ && now < *full_until_) return;
    full_until_.reset();
    std::array<net::datagram, batch_max> out;
    for (;;) {
        std::size_t count = 0;
        auto room = mutable_byte_view{batch_};
        while (count < out.size()) {
            auto const made = utp_->next_datagram(room, now);
            if (!made) break;
            out[count++] = {made->to, room.first(made->length)};
            room = room.subspan(utp::limits::datagram_max);
        }
        if (count == 0) return;
        auto const taken = socket_->send(std::span{out}.first(count));
        if (!taken || taken.value() < count) {  // the rest is lost, and less will be sent
            full_until_ = now + full_wait;
            return;
        }
    }
}

void datagram_port::send_dht() {
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

net::task<void> datagram_port::linger() {
    auto const until = node_.now() + linger_max;
    while (utp_ && utp_->size() > 0 && node_.now() < until) co_await node_.outside.clock.sleep(full_wait);
}

net::task<result<std::unique_ptr<net::stream>>> datagram_port::connect(endpoint to) {
    SHOAL_CO_TRY(auto const which, utp_->connect(to, node_.now()));
    auto stream = stream_of(which);
    news();
    SHOAL_CO_TRY(co_await stream->connected());
    co_return std::move(stream);
}

std::unique_ptr<utp_stream> datagram_port::stream_of(utp::handle which) {
    try {
        return std::make_unique<utp_stream>(*this, which);
    } catch (...) {  // nobody would close it
        utp_->close(which, node_.now());
        throw;
    }
}

utp_stream::utp_stream(datagram_port& port, utp::handle which)
    : port_(port),
      which_(which),
      remote_(port.utp()->remote(which)),
      readable_(port.node_.home),
      writable_(port.node_.home) {
    port_.streams_.emplace(which_, this);
}

utp_stream::~utp_stream() {
    close();
    port_.streams_.erase(which_);
}

void utp_stream::changed() {
    readable_.notify();
    writable_.notify();
}

void utp_stream::close() {
    if (std::exchange(is_closed_, true)) return;
    try {
        port_.utp()->close(which_, port_.node_.now());
    } catch (std::bad_alloc const&) {}  // its time-outs end it
    port_.deadline_moved_.notify();     // what it has to send goes out soon: a destructor may not run out of memory
    changed();
}

net::task<result<void>> utp_stream::connected() {
    auto& host = *port_.utp();
    while (!is_closed_ && !host.is_connected(which_)) {
        if (auto const why = host.error(which_)) co_return why;
        co_await writable_.wait();
    }
    if (is_closed_) co_return make_error_code(net::errc::closed);
    co_return success();
}

net::task<result<std::size_t>> utp_stream::read_some(std::span<mutable_byte_view const> places) {
    auto& host = *port_.utp();
    for (;;) {
        if (is_closed_) co_return make_error_code(net::errc::closed);
        if (auto const count = host.read(which_, places, port_.node_.now()); count > 0) {
            port_.news();  // the window is open again
            co_return count;
        }
        if (host.is_ended(which_)) co_return make_error_code(net::errc::closed);
        if (auto const why = host.error(which_)) co_return why;
        co_await readable_.wait();
    }
}

net::task<result<std::size_t>> utp_stream::write_some(std::span<byte_view const> runs) {
    auto& host = *port_.utp();
    for (;;) {
        if (is_closed_) co_return make_error_code(net::errc::closed);
        if (auto const why = host.error(which_)) co_return why;
        // The bytes may lie in a mapping whose file is cut at this moment: the kernel would answer EFAULT, and so do
        // we.
        std::size_t size = 0;
        for (auto const run : runs) {
            auto const part = run.first(std::min(run.size(), write_max - size));
            if (!part.empty() && !store::guarded_copy(port_.copied_.data() + size, part.data(), part.size()))
                co_return std::make_error_code(std::errc::bad_address);
            size += part.size();
        }
        std::array<byte_view, 1> const copied{byte_view{port_.copied_}.first(size)};
        if (auto const count = host.write(which_, copied, port_.node_.now()); count > 0) {
            port_.news();
            co_return count;
        }
        co_await writable_.wait();
    }
}

datagram_port* node_state::utp_port(ip_address const& family) const noexcept {
    for (auto const& each : datagram_ports)
        if (each->utp() && each->local.address.is_v4() == family.is_v4()) return each.get();
    return nullptr;
}

namespace {
using made_stream = result<std::unique_ptr<net::stream>>;

net::task<void> keep(net::task<made_stream> attempt, std::optional<made_stream>& outcome, net::signal& news) {
    outcome.emplace(co_await std::move(attempt));
    news.notify();
}
}  // namespace

net::task<made_stream> node_state::connect(endpoint to, bool utp_first) {
    auto from = settings.outgoing_from;
    if (from && from->is_v4() != to.address.is_v4()) from.reset();  // of use to the other family only
    auto* const local = utp_port(to.address);
    if (!local) co_return co_await outside.network.connect(to, from);
    std::optional<made_stream> first, second;
    net::signal news{home};
    co_await net::in_task_group([&](net::task_group& attempts) -> net::task<void> {
        attempts.on_failure = settings.on_failure;
        auto const begin = [&](bool is_utp, std::optional<made_stream>& outcome) {
            if (is_utp)
                attempts.spawn("connect by uTP", keep(local->connect(to), outcome, news));
            else
                attempts.spawn("connect by TCP", keep(outside.network.connect(to, from), outcome, news));
        };
        begin(utp_first, first);
        (void)co_await outside.clock.wait(news, now() + second_attempt_after);
        if (first && *first) co_return;
        begin(!utp_first, second);
        auto until = time_point::max();
        while (!(first && *first) && !(second && *second) && !(first && second)) {
            auto const& by_tcp = utp_first ? second : first;
            if (by_tcp) until = std::min(until, now() + utp_patience);
            if (!co_await outside.clock.wait(news, until)) co_return;
        }
    });
    if (first && *first) co_return std::move(*first);
    if (second && *second) co_return std::move(*second);
    auto const& by_tcp = utp_first ? second : first;
    co_return by_tcp ? by_tcp->error() : make_error_code(net::errc::timed_out);
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

net::task<std::vector<endpoint>> node_state::addresses_of(metainfo::host_port named) {
    auto const found =
        co_await net::with_deadline(outside.clock, now() + connect_timeout, outside.network.resolve(named.host));
    std::vector<endpoint> all;
    if (found)
        for (auto const& each : found.value()) all.push_back({each, named.port});
    co_return all;
}

net::task<void> node_state::resolve_nodes(std::vector<metainfo::host_port> named, bool are_routers) {
    for (duration wait = resolve_again_after;; wait = std::min<duration>(2 * wait, resolve_again_after_max)) {
        std::vector<endpoint> found;
        for (auto const& each : named) {
            auto const there = co_await addresses_of(each);
            found.insert(found.end(), there.begin(), there.end());
        }
        if (!are_routers) co_return hear_of_nodes(found);
        for (auto const& each : datagram_ports) {
            if (!each->dht() || found.empty()) continue;
            each->dht()->set_routers(found, now());
            each->news();
        }
        // There may be no network yet, or one that answers every name with its own page for a log-in. And whoever was
        // found under a wrong address may be the only one we know: asked until there are enough.
        co_await outside.clock.sleep(wait);
        auto const needs_none = [](auto const& each) { return each->dht() && !each->dht()->needs_routers(); };
        if (!found.empty() && std::ranges::any_of(datagram_ports, needs_none)) co_return;
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
