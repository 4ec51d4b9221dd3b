module;
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

module shoal.hub;
import shoal.announce;
import shoal.core;
import shoal.registry;

namespace shoal::hub {
namespace {
registry::event event_of(announce::event what) noexcept {
    switch (what) {
        case announce::event::started:
            return registry::event::started;
        case announce::event::stopped:
            return registry::event::stopped;
        case announce::event::completed:
            return registry::event::completed;
        case announce::event::none:
        case announce::event::paused:
            break;
    }
    return registry::event::none;
}
}  // namespace

std::chrono::seconds peer_lifetime(settings const& how) {
    return std::min<std::chrono::seconds>(how.interval * 3 / 2 + std::chrono::minutes{1}, std::chrono::hours{24});
}

service::service(settings how, secrets const& secret)
    : entrance(how.who),
      how_(std::move(how)),
      peers_(
          {.bounds = how_.bounds, .peer_lifetime = peer_lifetime(how_), .secret = secret.tables, .seed = secret.seed}),
      connections_(secret.connections),
      meter_(how_.requests_per_second, secret.meter),
      unproven_(how_.requests_per_second, secret.meter) {}

counters service::numbers() const {
    auto numbers = numbers_;
    numbers.peers = peers_.numbers();
    numbers.memory = peers_.memory();
    return numbers;
}

void service::expire(time_point now) {
    constexpr std::size_t calls = 600;
    peers_.expire(now, peers_.size() / calls + 100);
}

bool service::lets_in(room where, std::string_view passkey) {
    if (entrance.admits(where, passkey)) return true;
    ++numbers_.not_permitted;
    return false;
}

bool service::is_admitted(meter& by, ip_address const& from, time_point now) {
    if (from.is_loopback() && !how_.is_loopback_limited) return true;
    if (by.admit(from, now)) return true;
    ++numbers_.over_limit;
    return false;
}

announce::announce_reply service::announce(announce::announce_request const& request, endpoint const& from,
                                           registry::families usable, time_point now) {
    endpoint peer{from.address, request.port};
    // Only somebody on this machine may speak for another address (class I2).
    if (request.ip && from.address.is_loopback()) peer.address = *request.ip;
    auto const wanted = std::min(request.peers_wanted.value_or(how_.peers_default), how_.peers_max);
    auto outcome = peers_.announce({.torrent = request.torrent,
                                    .peer = peer,
                                    .is_complete = request.left == 0,
                                    .what = event_of(request.what),
                                    .peers_wanted = wanted,
                                    .usable = usable},
                                   now);
    if (on_announce) on_announce(request, peer, now);
    announce::announce_reply reply;
    reply.interval = how_.interval;
    reply.min_interval = how_.min_interval;
    reply.seeders = outcome.counts.seeders;
    reply.leechers = outcome.counts.leechers;
    reply.downloaded = downloads_of(request.torrent, outcome.counts.downloaded);
    reply.peers = std::move(outcome.peers);
    reply.external_ip = from.address;
    return reply;
}

void service::present(presence const& who, time_point now) {
    auto const what = who.has_left        ? registry::event::stopped
                      : who.has_completed ? registry::event::completed
                                          : registry::event::none;
    peers_.announce({.torrent = who.torrent,
                     .peer = who.at,
                     .is_complete = who.is_complete,
                     .what = what,
                     .peers_wanted = 0,
                     .usable = registry::families::own},
                    now);
}

/// `counted` in this run.
std::uint32_t service::downloads_of(info_hash const& torrent, std::uint32_t counted) const {
    auto const ever = completed_ever ? completed_ever(torrent) : 0;
    return static_cast<std::uint32_t>(
        std::clamp<std::uint64_t>(ever, counted, std::numeric_limits<std::uint32_t>::max()));
}

announce::scrape_reply service::scrape(std::vector<info_hash> const& torrents) const {
    announce::scrape_reply reply;
    reply.torrents.reserve(torrents.size());
    for (auto const& torrent : torrents) {
        auto const counts = peers_.scrape(torrent);
        reply.torrents.push_back({torrent, counts.seeders, counts.leechers, downloads_of(torrent, counts.downloaded)});
    }
    return reply;
}

void service::log_announce(std::string_view protocol, announce::announce_request const& request, endpoint const& from,
                           std::size_t peer_count) const {
    if (!how_.log || !how_.is_each_announce_logged) return;
    constexpr std::string_view names[] = {"", " started", " stopped", " completed", " paused"};
    std::string line{protocol};
    line.append(" announce ").append(to_hex(request.torrent.view())).append(" from ").append(from.to_string());
    line.append(" port ").append(std::to_string(request.port)).append(names[static_cast<std::size_t>(request.what)]);
    line.append(request.left == 0 ? " complete" : " incomplete");
    line.append(" given ").append(std::to_string(peer_count));
    how_.log(log_level::debug, line);
}
}  // namespace shoal::hub
