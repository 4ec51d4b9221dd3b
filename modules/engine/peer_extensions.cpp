module;
#include <algorithm>
#include <array>
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <exception>
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

#include "core/try.hpp"

module shoal.engine;
import shoal.asio;
import shoal.core;
import shoal.dht;
import shoal.net;
import shoal.picker;
import shoal.store;
import shoal.wire;
import :transfer;
import :swarm;

/// What a connected peer is told and asked by extension messages: who it is, pings, the info dictionary, other peers.
namespace shoal::engine {
void peer_session::introduce() {
    if (std::exchange(is_introduced_, true)) return;
    swarm_.tell(event::peer_introduced{address(), remote, outgoing});
    swarm_.news();
}

std::uint8_t peer_session::id_of(std::string_view extension) const {
    auto const& names = core.peer_extensions().m;
    auto const at = names.find(std::string{extension});
    return at == names.end() ? std::uint8_t{0} : at->second;
}

std::uint64_t peer_session::send_ping(time_point now) {
    auto const ping = swarm_.node.outside.random.next();
    pings_[ping] = {now, std::nullopt};
    next_ping = now + ping_interval;
    core.extension_message(id_of(wire::ping_extension), wire::encode(wire::ping_message{false, ping}));
    flush();
    return ping;
}

std::optional<duration> peer_session::round_trip(std::uint64_t ping) const {
    auto const at = pings_.find(ping);
    return at == pings_.end() ? std::nullopt : at->second.round_trip;
}

void peer_session::on_ping(byte_view payload) {
    auto const ping = wire::parse_ping(payload);
    if (!ping) return;
    auto const now = swarm_.node.now();
    if (ping->is_answer) {
        if (auto const at = pings_.find(ping->number); at != pings_.end() && !at->second.round_trip)
            at->second.round_trip = now - at->second.sent;
        return;
    }
    auto const theirs = id_of(wire::ping_extension);
    if (theirs == 0 || !pings_answered_.take(now)) return;
    core.extension_message(theirs, wire::encode(wire::ping_message{true, ping->number}));
    swarm_.tell(event::ping_received{address()});
}

/// Somebody who has a magnet link alone asks for a piece of the info dictionary. Source: BEP 9.
void peer_session::on_metadata(byte_view payload) {
    using kind = wire::metadata_message::kind;
    auto const asked = wire::parse_metadata_message(payload);
    auto const theirs = id_of(wire::metadata_extension);
    if (!asked || asked->what != kind::request || theirs == 0) return;
    auto const size = static_cast<std::uint32_t>(swarm_.content->info_bytes().size());
    bool const is_there = wire::metadata_piece_size(size, asked->piece) > 0;
    if (is_there && metadata_asked_.size() < metadata_asked_max && metadata_sent_.take(swarm_.node.now()))
        metadata_asked_.push_back(asked->piece);
    else
        core.extension_message(theirs, wire::encode(wire::metadata_message{kind::reject, asked->piece}));
    flush();
}

/// As much as the socket takes soon.
void peer_session::send_metadata() {
    while (!metadata_asked_.empty() && core.unsent_bytes() < send_watermark) {
        auto const info = swarm_.content->info_bytes();
        wire::metadata_message answer{wire::metadata_message::kind::data, metadata_asked_.front()};
        answer.total_size = static_cast<std::uint32_t>(info.size());
        answer.data = info.subspan(std::size_t{answer.piece} * wire::metadata_piece_length,
                                   wire::metadata_piece_size(*answer.total_size, answer.piece));
        core.extension_message(id_of(wire::metadata_extension), wire::encode(answer));
        metadata_asked_.pop_front();
    }
}

void peer_session::on_exchange(byte_view payload) {
    auto const now = swarm_.node.now();
    if (now < exchange_due_) return;
    auto const said = wire::parse_exchange(payload);
    if (!said) return;
    exchange_due_ = now + exchange_heard_interval;
    swarm_.hear_of(said->added, remote.address);
}

/// Tells the peer who has come and gone since it was told last. Source: BEP 11.
void peer_session::tell_of_peers(time_point now) {
    auto const theirs = id_of(wire::exchange_extension);
    if (theirs == 0 || now < next_exchange_ || !swarm_.exchanges_peers()) return;
    wire::exchange_message news;
    std::set<endpoint> there;
    for (auto const* other : swarm_.sessions()) {
        if (!other || other == this || other->listens_at.port == 0) continue;
        auto const at = other->listens_at;
        if (!dht::means_the_same(at.address, remote.address)) continue;
        there.insert(at);
        if (told_peers_.contains(at) || news.added.size() >= wire::exchanged_max) continue;
        news.added.push_back({at, swarm_.picker.is_seed(other->slot), other->outgoing});
    }
    for (auto at = told_peers_.begin(); at != told_peers_.end() && news.dropped.size() < wire::exchanged_max;) {
        if (there.contains(*at)) {
            ++at;
            continue;
        }
        news.dropped.push_back({*at});
        at = told_peers_.erase(at);
    }
    if (news.added.empty() && news.dropped.empty()) return;
    for (auto const& each : news.added) told_peers_.insert(each.at);
    next_exchange_ = now + wire::exchange_interval;
    core.extension_message(theirs, wire::encode(news));
}
}  // namespace shoal::engine
