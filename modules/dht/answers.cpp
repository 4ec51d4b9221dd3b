module;
#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "core/canary.hpp"

module shoal.dht;
import shoal.bencode;
import shoal.core;

/// How a node answers others, and how much: a query's source may be forged, so that the answer goes to a victim.
namespace shoal::dht {
namespace {
/// Source: BEP 5, "Errors".
constexpr std::int64_t protocol_error = 203, method_unknown = 204;
/// Bytes that a list of peers takes besides them: `6:valuesle`, and the length before each.
constexpr std::size_t values_frame = 10;
constexpr std::size_t value_bytes(bool is_v6) noexcept {
    return is_v6 ? 3 + 18 : 2 + 6;
}
}  // namespace

void node::receive(endpoint const& from, byte_view datagram, time_point now) {
    auto const read = parse(datagram);
    auto const waiting = pings_.size();
    bool was_awaited = false;
    if (read && is_mine(from) && is_usable(from)) {
        auto const& [transaction, content] = read.value();
        if (auto const* asked = std::get_if<query>(&content))
            answer(from, transaction, *asked, datagram.size(), now);
        else if (auto const* told = std::get_if<reply>(&content))
            was_awaited = on_reply(from, transaction, *told, now);
        // A failure is as no answer: the query runs out, and whoever forges one has done nothing.
    }
    // What strangers send costs no look at all that is under way.
    if (was_awaited || pings_.size() != waiting || now >= deadline_) settle(now);
}

void node::answer(endpoint const& from, byte_view transaction, query const& asked, std::size_t bytes, time_point now) {
    if (asked.id == id()) return;  // ourselves, or somebody who would be us
    if (!reply_bytes_to(from.address).has(now, bytes) || !reply_bytes_.has(now, bytes)) return;  // not even the work
    reply told;
    told.id = id();
    std::array<std::byte, 8> token;
    auto const room = [&] { return std::min(reply_bytes_max, reply_factor_max * bytes); };
    switch (asked.what) {
        case method::ping:
            break;
        case method::get_peers:
            token = store_.token_for(from.address, now);
            told.token = token;
            [[fallthrough]];
        case method::find_node:
            told.nodes = table_.nearest(asked.target, bucket_size, now);
            std::erase_if(told.nodes, [&](auto const& each) { return !means_the_same(each.at.address, from.address); });
            break;
        case method::announce_peer:
            if (!store_.is_token(asked.token, from.address, now) && !is_planted("token_not_checked"))
                return refuse(from, transaction, protocol_error, "bad token", bytes, now);
            hear_announce(info_hash{asked.target.bytes}, {from.address, asked.implied_port ? from.port : asked.port},
                          now);
            break;
        case method::unknown:
            return refuse(from, transaction, method_unknown, "method unknown", bytes, now);
    }
    auto encoded = encode(transaction, told, from);
    if (asked.what == method::get_peers && encoded.size() + values_frame < room()) {
        auto const count = (room() - encoded.size() - values_frame) / value_bytes(settings_.is_v6);
        told.values = store_.some_of(info_hash{asked.target.bytes}, count, now);
        std::erase_if(told.values, [&](auto const& each) { return !means_the_same(each.address, from.address); });
        if (!told.values.empty()) encoded = encode(transaction, told, from);
    }
    while (encoded.size() > room() && !told.nodes.empty()) {
        told.nodes.pop_back();
        encoded = encode(transaction, told, from);
    }
    reply_to(from, std::move(encoded), bytes, now);
    if (asked.is_read_only) return;
    table_.asked({asked.id, from}, now);
    consider({asked.id, from}, now);
}

/// Whoever looks for peers of this torrent here need not wait for his next search: in a small network it is this node
/// that others announce to.
void node::hear_announce(info_hash const& torrent, endpoint const& peer, time_point now) {
    if (!is_usable(peer)) return;
    store_.add(torrent, peer, now);
    events_.push_back(event::found{torrent, {peer}});
}

void node::refuse(endpoint const& to, byte_view transaction, std::int64_t code, std::string_view text,
                  std::size_t bytes, time_point now) {
    reply_to(to, encode(transaction, failure{code}, text), bytes, now);
}

void node::reply_to(endpoint const& to, byte_vector&& bytes, std::size_t asked_bytes, time_point now) {
    if (bytes.size() > std::min(reply_bytes_max, reply_factor_max * asked_bytes)) return;
    auto& own = reply_bytes_to(to.address);
    if (!reply_bytes_.has(now, bytes.size()) || !own.take(now, bytes.size())) return;
    reply_bytes_.take(now, bytes.size());
    outbox_.push_back({to, std::move(bytes)});
}

budget& node::reply_bytes_to(ip_address const& who) noexcept {
    return customers_[siphash(customers_key_, who.customer().bytes()) % customers_.size()];
}
}  // namespace shoal::dht
