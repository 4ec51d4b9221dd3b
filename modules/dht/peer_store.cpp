module;
#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <unordered_map>
#include <utility>
#include <vector>

module shoal.dht;
import shoal.core;

namespace shoal::dht {
void peer_store::rotate(time_point now) {
    while (!rotated_ || now - *rotated_ >= token_interval) {
        last_secret_ = rotated_ ? secret_ : siphash_key{random_.next(), random_.next()};
        secret_ = {random_.next(), random_.next()};
        bool const is_long_ago = !rotated_ || now - *rotated_ >= 2 * token_interval;
        if (is_long_ago) last_secret_ = {random_.next(), random_.next()};
        rotated_ = is_long_ago ? now : *rotated_ + token_interval;
    }
}

std::array<std::byte, 8> peer_store::token_of(siphash_key const& secret, ip_address const& who) const {
    std::array<std::byte, 8> token;
    store_be(mutable_byte_view{token}, siphash(secret, who.bytes()));
    return token;
}

std::array<std::byte, 8> peer_store::token_for(ip_address const& who, time_point now) {
    rotate(now);
    return token_of(secret_, who);
}

bool peer_store::is_token(byte_view token, ip_address const& who, time_point now) {
    rotate(now);
    return equal(token, token_of(secret_, who)) || equal(token, token_of(last_secret_, who));
}

void peer_store::release(endpoint const& peer) {
    auto const counted = of_customer_.find(peer.address.customer());
    if (--counted->second == 0) of_customer_.erase(counted);
    --stored_;
}

node_id peer_store::distance_to(info_hash const& torrent) const noexcept {
    node_id distance;
    for (std::size_t i = 0; i < node_id::size(); ++i) distance.bytes[i] = torrent.bytes[i] ^ own_.bytes[i];
    return distance;
}

void peer_store::move_to(node_id const& own) {
    auto old = std::exchange(torrents_, {});
    while (!old.empty()) {
        auto each = old.extract(old.begin());
        auto& moved = each.key();  // torrent xor old id, to become torrent xor new id
        for (std::size_t i = 0; i < node_id::size(); ++i) moved.bytes[i] ^= own_.bytes[i] ^ own.bytes[i];
        torrents_.insert(std::move(each));
    }
    own_ = own;
}

void peer_store::add(info_hash const& torrent, endpoint const& peer, time_point now) {
    auto const distance = distance_to(torrent);
    auto found = torrents_.find(distance);
    if (found != torrents_.end()) {
        auto const known = std::ranges::find(found->second, peer, &stored::at);
        if (known != found->second.end()) {
            known->announced = now;
            return;
        }
    }
    if (auto const counted = of_customer_.find(peer.address.customer());
        counted != of_customer_.end() && counted->second >= stored_per_customer_max)
        return;
    if (stored_ >= stored_in_all_max) return;
    if (found == torrents_.end()) {
        if (torrents_.size() >= stored_torrents_max) {
            auto const farthest = std::prev(torrents_.end());
            if (distance > farthest->first) return;
            for (auto const& each : farthest->second) release(each.at);
            torrents_.erase(farthest);
        }
        found = torrents_.try_emplace(distance).first;
    }
    auto& peers = found->second;
    if (peers.size() >= stored_peers_max) {
        auto const oldest = std::ranges::min_element(peers, {}, &stored::announced);
        release(oldest->at);
        peers.erase(oldest);
    }
    peers.push_back({peer, now});
    try {
        ++of_customer_[peer.address.customer()];
    } catch (...) {  // no memory: what is not counted could not be released
        peers.pop_back();
        throw;
    }
    ++stored_;
}

std::vector<endpoint> peer_store::some_of(info_hash const& torrent, std::size_t count, time_point now) {
    std::vector<endpoint> some;
    auto const found = torrents_.find(distance_to(torrent));
    if (found == torrents_.end() || count == 0) return some;
    auto const& peers = found->second;
    if (peers.empty()) return some;  // there was no memory for the first one
    auto const first = random_.below(peers.size());
    for (std::size_t i = 0; i < peers.size() && some.size() < count; ++i) {
        auto const& each = peers[(first + i) % peers.size()];
        if (now - each.announced < announced_for) some.push_back(each.at);
    }
    return some;
}

void peer_store::forget_old(time_point now) {
    for (auto each = torrents_.begin(); each != torrents_.end();) {
        std::erase_if(each->second, [&](stored const& peer) {
            bool const is_old = now - peer.announced >= announced_for;
            if (is_old) release(peer.at);
            return is_old;
        });
        each = each->second.empty() ? torrents_.erase(each) : std::next(each);
    }
}
}  // namespace shoal::dht
