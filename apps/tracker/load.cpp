#include "load.hpp"

#include <algorithm>

namespace load {
announce::announce_request population::request_of(std::uint32_t peer, announce::event what) const {
    announce::announce_request request;
    store_be(mutable_byte_view{request.torrent.bytes}, torrent_of(peer) + 1);
    store_be(mutable_byte_view{request.peer.bytes}, peer);
    request.port = port_of(peer);
    request.left = peer % 3;
    request.what = what;
    request.peers_wanted = wanted;
    return request;
}

bool population::is_right(std::uint32_t peer, announce::announce_reply const& reply) const {
    if (reply.peers.size() > wanted || reply.seeders.value_or(0) + reply.leechers.value_or(0) == 0) return false;
    return std::ranges::all_of(reply.peers, [&](announce::peer_address const& other) {
        auto const found = std::uint64_t{other.at.port - 1u};
        auto const number = has_own_ports() ? found : found * torrents + torrent_of(peer);
        return number < peers && number % torrents == torrent_of(peer);
    });
}

bool turns::has_next(measure::seconds now) const noexcept {
    if (is_over(now)) return false;
    return how_.rate == 0 || static_cast<double>(given_) <= now.count() * how_.rate;
}

turns::turn turns::next(measure::seconds now) noexcept {
    auto const number = given_++;
    if (how_.is_fill) return {static_cast<std::uint32_t>(number), now.count()};
    state_ = state_ * 6364136223846793005u + 1442695040888963407u;
    auto const peer = static_cast<std::uint32_t>((state_ >> 33) % who_.peers);
    return {peer, how_.rate == 0 ? now.count() : static_cast<double>(number) / how_.rate};
}

bool turns::is_over(measure::seconds now) const noexcept {
    return how_.is_fill ? given_ >= who_.peers : now >= how_.lasts;
}

figures run(endpoint const& tracker, population const& who, plan const& how) {
    return how.by == transport::udp ? run_udp(tracker, who, how) : run_http(tracker, who, how);
}
}  // namespace load
