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
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include <boost/container/deque.hpp>

#include "core/try.hpp"

module shoal.engine;
import shoal.announce;
import shoal.asio;
import shoal.choker;
import shoal.core;
import shoal.dht;
import shoal.metainfo;
import shoal.net;
import shoal.picker;
import shoal.wire;
import :transfer;
import :swarm;

namespace shoal::engine {
namespace {
/// Twelve random bytes after the client's mark. Source: BEP 20, "Azureus-style".
peer_id random_id(net::random& random) {
    constexpr std::string_view mark = "-SL0010-";
    peer_id id;
    random.fill(id.bytes);
    std::ranges::copy(as_bytes(mark), id.bytes.begin());
    return id;
}
picker::block_prints::secret random_words(net::random& random) {
    picker::block_prints::secret words(picker::block_prints::secret_size);
    random.fill(std::as_writable_bytes(std::span{words}));
    return words;
}
/// The other side's handshake. What cannot become one any more is not waited for.
net::task<result<wire::handshake>> hear_handshake(net::stream& from) {
    std::array<std::byte, wire::handshake_length> hello;
    for (std::size_t count = 0; count < hello.size();) {
        SHOAL_CO_TRY(auto const got, co_await from.read_some(mutable_byte_view{hello}.subspan(count)));
        count += got;
        if (!wire::is_handshake_start(byte_view{hello}.first(count)))
            co_return make_error_code(wire::errc::not_bittorrent);
    }
    co_return wire::parse_handshake(hello);
}
/// Ports that are tried until one is free for TCP and UDP.
constexpr std::size_t listen_tries_max = 16;
}  // namespace

node_state::~node_state() = default;

node_state::node_state(net::environment around, asio::any_io_executor executor, node_settings with)
    : outside(around),
      home(std::move(executor)),
      settings(std::move(with)),
      id(random_id(outside.random)),
      key(static_cast<std::uint32_t>(outside.random.next())),
      prints(random_words(outside.random)),
      upload(settings.upload_limit, outside.clock.now()),
      download(settings.download_limit, outside.clock.now()),
      uploads_waiting(home),
      tasks(home) {
    tasks.on_failure = settings.on_failure;
    if (is_upload_limited()) tasks.spawn_lasting("share upload", outside.clock, [this] { return share_upload(); });
}

wire::handshake node_state::handshake_for(info_hash const& hash) const {
    wire::handshake ours;
    ours.hash = hash;
    ours.id = id;
    ours.dht = !datagram_ports.empty() && settings.dht;
    return ours;
}

net::task<result<node_state::met_peer>> node_state::meet(endpoint to, wire::handshake ours, bool utp_first) {
    auto& clock = outside.clock;
    SHOAL_CO_TRY(auto stream,
                 co_await net::with_deadline(clock, clock.now() + connect_timeout, connect(to, utp_first)));
    auto const hello = wire::encode(ours);
    auto const exchange = [](net::stream& with, byte_view said) -> net::task<result<wire::handshake>> {
        SHOAL_CO_TRY(co_await with.write_all(said));
        co_return co_await hear_handshake(with);
    };
    SHOAL_CO_TRY(auto const theirs,
                 co_await net::with_deadline(clock, clock.now() + handshake_timeout, exchange(*stream, hello)));
    if (theirs.hash != ours.hash) co_return make_error_code(errc::unknown_info_hash);
    co_return met_peer{std::move(stream), theirs};
}

net::task<void> node_state::accept(net::listener& at) {
    for (;;) {
        auto stranger = co_await at.accept();
        if (!stranger || is_stopping) co_return;
        welcome(std::move(stranger.value()));
    }
}

choker::share_holder share_holder_of(ip_address const& address) noexcept {
    if (address.is_loopback()) return std::nullopt;
    return address.is_local() ? address.customer() : dht::network_of(address);
}

void node_state::welcome(std::unique_ptr<net::stream> stranger) {
    auto const from = stranger->remote().address;
    if (is_stopping || !make_room_for_handshake(from)) return;  // closes it
    auto const number = handshakes_so_far++;
    auto* const with = stranger.get();
    tasks.spawn("handshake", greet(std::move(stranger), number));  // counts itself out; it has not begun yet
    handshakes.push_back({number, from, with, now()});
}

bool node_state::make_room_for_handshake(ip_address const& newcomer) {
    auto const customer = [](handshake const& each) { return each.from.customer(); };
    if (std::ranges::count(handshakes, newcomer.customer(), customer) >= std::ptrdiff_t{peers_per_address_max} &&
        !newcomer.is_loopback())
        return false;
    if (handshakes.size() < handshakes_max) return true;
    std::vector<choker::place> taken;
    for (auto const& each : handshakes)
        taken.push_back({.id = each.number, .network = share_holder_of(each.from), .since = each.since});
    auto const network = share_holder_of(newcomer);
    auto const leaving = choker::gives_way(taken, network);
    // Where no network has more than the newcomer's, whoever of that one has taken longest, or of all where it has
    // none: an honest peer takes a moment.
    auto at = std::ranges::find_if(handshakes, [&](auto const& each) {
        return leaving ? each.number == *leaving : share_holder_of(each.from) == network;
    });
    if (at == handshakes.end()) at = handshakes.begin();
    at->with->close();
    handshakes.erase(at);
    return true;
}

/// Hears which torrent a stranger wants and hands it to that swarm.
net::task<void> node_state::greet(std::unique_ptr<net::stream> stranger, std::uint32_t number) {
    struct counted {
        node_state& node;
        std::uint32_t number;
        ~counted() {
            std::erase_if(node.handshakes, [this](auto const& each) { return each.number == number; });
        }
    };
    counted const while_here{*this, number};
    auto const theirs =
        co_await net::with_deadline(outside.clock, outside.clock.now() + handshake_timeout, hear_handshake(*stranger));
    if (!theirs) co_return;
    if (auto const found = swarms.find(theirs.value().hash); found != swarms.end()) {
        found->second->adopt(std::move(stranger), theirs.value());
    } else if (auto const who = stranger->remote().address; has_room_for_unnamed(who)) {
        unnamed_one const waiting{*this, who};
        co_await outside.clock.sleep(naming_patience);
    }
}

bool node_state::has_room_for_unnamed(ip_address const& who) const {
    crowd there;
    for (auto const& each : unnamed) there.add(each);
    return unnamed.size() < unnamed_max && (who.is_loopback() || there.has_room_for(who, unnamed_per_address_max));
}

net::task<void> node_state::share_upload() {
    std::vector<choker::waiting_peer> waiting;
    std::vector<peer_session*> sessions;
    for (;;) {
        if (auto const now = this->now(); upload.available(now) == 0) {
            co_await outside.clock.sleep_until(upload.ready_at(block_length, now));
            continue;
        }
        waiting.clear();
        sessions.clear();
        bool all_seeding = true;
        for (auto const& each : transfers) {
            for (auto* session : each->work_->sessions()) {
                if (!session) continue;
                auto const candidate = session->waiting();
                if (!candidate) continue;
                waiting.push_back(*candidate);
                sessions.push_back(session);
                all_seeding = all_seeding && session->is_served_by_seed();
            }
        }
        auto const next = uplink.next(waiting, all_seeding);
        if (!next) {
            co_await uploads_waiting.wait();
            continue;
        }
        auto const at = std::ranges::find(waiting, *next, &choker::waiting_peer::id) - waiting.begin();
        sessions[static_cast<std::size_t>(at)]->grant();
        upload.take(block_length, now());
        uplink.sent(block_length);
    }
}

void node_state::free_send_buffers() {
    for (auto const& each : transfers)
        for (auto* session : each->work_->sessions())
            if (session && session->sits_on_buffers(now())) session->close(wire::errc::stalled);
}

node::node(net::environment outside, asio::any_io_executor home, node_settings settings)
    : state_(std::make_shared<node_state>(outside, std::move(home), std::move(settings))) {}

node::~node() = default;

peer_id const& node::id() const noexcept {
    return state_->id;
}

result<endpoint> node::listen(endpoint at) {
    return state_->listen(at);
}

std::error_code node::datagram_trouble() const noexcept {
    return state_->datagram_trouble;
}

result<endpoint> node_state::listen(endpoint at) {
    SHOAL_TRY(auto listener, outside.network.listen(at));
    std::unique_ptr<net::datagram_socket> socket;
    datagram_trouble = {};
    for (std::size_t tries = 1; wants_datagrams(); ++tries) {
        auto opened = outside.network.open_datagram(listener->local());
        if (opened) {
            socket = std::move(opened.value());
            break;
        }
        datagram_trouble = opened.error();
        if (at.port != 0 || tries >= listen_tries_max) break;
        SHOAL_TRY(auto another, outside.network.listen(at));  // somebody has the UDP port of this number
        listener = std::move(another);
    }
    auto const bound = listener->local();
    if (port == 0) port = bound.port;
    auto& clock = outside.clock;
    tasks.spawn_lasting("accept " + bound.to_string(), clock,
                        [this, at = std::shared_ptr{std::move(listener)}] { return accept(*at); });
    if (settings.local_discovery) {
        auto const& joined =
            local_groups.emplace_back(std::make_unique<local_group>(*this, bound, outside.random.next()));
        tasks.spawn_lasting("local discovery " + bound.to_string(), clock, [&group = *joined] { return group.run(); });
    }
    if (!socket) return bound;
    datagram_trouble = {};
    auto& opened = *datagram_ports.emplace_back(std::make_unique<datagram_port>(*this, std::move(socket)));
    tasks.spawn_lasting("datagrams " + bound.to_string(), clock, [&opened] { return opened.receive(); });
    tasks.spawn_lasting("deadlines " + bound.to_string(), clock, [&opened] { return opened.keep_time(); });
    if (opened.dht() && !settings.dht_routers.empty())
        tasks.spawn_lasting("routers of the DHT", clock, [this] { return resolve_nodes(settings.dht_routers, true); });
    return bound;
}

namespace {
/// Calls `visit(hash)` for those by which peers may greet us: of a hybrid either. Source: BEP 52, "upgrade path".
template <class Visit>
void for_each_greeting(metainfo::torrent const& content, Visit visit) {
    visit(content.swarm_hash());
    if (auto const v2 = content.info_hash_v2()) visit(*info_hash::from(v2->view().first(info_hash::size())));
}
}  // namespace

result<std::shared_ptr<transfer>> node::add(std::shared_ptr<metainfo::torrent const> content,
                                            transfer_options options) {
    if (state_->is_stopping) return errc::stopped;
    if (!content->has_v1()) return errc::v2_only;
    auto const hash = content->swarm_hash();
    if (state_->swarms.contains(hash)) return errc::already_added;
    auto work = std::make_unique<swarm>(state_, content, std::move(options));
    auto& begun = *work;
    auto added = std::make_shared<transfer>(std::move(work));
    try {
        for_each_greeting(*content, [&](info_hash const& name) { state_->swarms.emplace(name, &begun); });
        state_->transfers.push_back(added);
        begun.place = state_->transfers.size() - 1;
        begun.start();
    } catch (...) {  // no memory: as if it had not been asked for
        state_->release(begun);
        throw;
    }
    return added;
}

net::task<void> node::stop() {
    return net::uninterrupted(state_->stop());
}

net::task<void> node_state::stop() {
    is_stopping = true;
    while (!transfers.empty()) {  // each leaves the list when it has stopped; again where there was no memory for it
        co_await net::in_task_group([this](net::task_group& stopping) -> net::task<void> {
            stopping.on_failure = settings.on_failure;
            auto const all = transfers;
            for (auto const& each : all) stopping.spawn("stop", each->stop());
            co_await stopping.join();
        });
    }
    for (auto const& each : datagram_ports) co_await each->linger();  // what was written last is on its way
    for (auto const& each : datagram_ports) each->close();
    for (auto const& each : local_groups) each->close();
    tasks.cancel();
    co_await tasks.join();
}

/// Without looking at the others, of which there may be thousands: the last one takes its place.
std::shared_ptr<transfer> node_state::release(swarm& stopped) {
    for_each_greeting(*stopped.content, [&](info_hash const& name) {
        if (auto const at = swarms.find(name); at != swarms.end() && at->second == &stopped) swarms.erase(at);
    });
    if (!stopped.place) return nullptr;
    auto& place = transfers[*std::exchange(stopped.place, std::nullopt)];
    if (&place != &transfers.back()) {
        std::swap(place, transfers.back());
        place->work_->place = &place - transfers.data();
    }
    auto released = std::move(transfers.back());
    transfers.pop_back();
    return released;
}
}  // namespace shoal::engine
