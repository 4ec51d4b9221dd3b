#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

#include "load.hpp"

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
    return std::ranges::all_of(reply.peers, [&](endpoint const& other) {
        auto const found = std::uint64_t{other.port - 1u};
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

void fail(char const* what) {
    throw std::system_error(errno, std::system_category(), what);
}

int connected_socket(endpoint const& tracker, int type) {
    sockaddr_storage to{};
    socklen_t size = 0;
    if (tracker.address.is_v4()) {
        auto& v4 = reinterpret_cast<sockaddr_in&>(to);
        v4.sin_family = AF_INET;
        v4.sin_port = htons(tracker.port);
        ::inet_pton(AF_INET, tracker.address.to_string().c_str(), &v4.sin_addr);
        size = sizeof v4;
    } else {
        auto& v6 = reinterpret_cast<sockaddr_in6&>(to);
        v6.sin6_family = AF_INET6;
        v6.sin6_port = htons(tracker.port);
        ::inet_pton(AF_INET6, tracker.address.to_string().c_str(), &v6.sin6_addr);
        size = sizeof v6;
    }
    auto const made = ::socket(to.ss_family, type | SOCK_CLOEXEC, 0);
    if (made < 0) fail("socket");
    if (::connect(made, reinterpret_cast<sockaddr*>(&to), size) == 0) return made;
    auto const why = errno;
    ::close(made);
    errno = why;
    fail("the tracker cannot be reached");
}

figures run(endpoint const& tracker, population const& who, plan const& how) {
    return how.by == transport::udp ? run_udp(tracker, who, how) : run_http(tracker, who, how);
}
}  // namespace load
