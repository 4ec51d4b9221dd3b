module;
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

export module shoal.hub:service;
import shoal.announce;
import shoal.core;
import shoal.net;
import shoal.registry;
import :gate;
import :meter;
import :roster;
import :settings;

export namespace shoal::hub {
/// Secrets and a seed, from a random device.
struct secrets {
    siphash_key tables{};
    siphash_key connections{};
    siphash_key meter{};
    std::uint64_t seed = 0;
};

/// What a tracker answers to whom. Requests and the time go in, answers come out; it has no socket and no clock.
class service {
public:
    service(settings how, secrets const& secret);

    /// `/announce`, `/scrape`, `/healthz`; 404 for other paths, 405 for methods other than GET and HEAD.
    net::http_response answer(net::http_request const& request, time_point now);
    /// Appends the reply to `out`; appends nothing where there is none. One whose address is not proven gets no more
    /// bytes than it sent (class I1).
    void answer(net::datagram const& packet, time_point now, byte_vector& out);
    /// A part of the work of forgetting silent peers; ten calls a second go round within a minute.
    void expire(time_point now);

    /// Notes one request of a stranger; whether it is within `requests_per_second`.
    bool admit(ip_address const& from, time_point now) { return is_admitted(meter_, from, now); }
    /// A node with a session stands in the peer sets like any other peer.
    void present(presence const& who, time_point now);
    /// Told of every announce that was taken; empty: nobody is.
    std::function<void(announce::announce_request const&, endpoint const& at, time_point now)> on_announce;
    /// How often a torrent was completed, as the catalogue knows from earlier runs too; empty: nobody knows.
    std::function<std::uint64_t(info_hash const&)> completed_ever;

    /// Whether somebody with this passkey (empty: none) may go there; counts those who may not.
    bool lets_in(room where, std::string_view passkey);
    gate entrance;

    counters numbers() const;
    settings const& how() const noexcept { return how_; }

private:
    net::http_response answer_announce(std::string_view query, net::http_request const& request, time_point now);
    net::http_response answer_scrape(std::string_view query);
    void answer_announce(announce::udp_announce const& request, endpoint const& from, time_point now, byte_vector& out);
    void answer_scrape(announce::udp_scrape const& request, byte_vector& out);

    bool is_admitted(meter& by, ip_address const& from, time_point now);
    announce::announce_reply announce(announce::announce_request const& request, endpoint const& from,
                                      registry::families usable, time_point now);
    announce::scrape_reply scrape(std::vector<info_hash> const& torrents) const;
    std::uint32_t downloads_of(info_hash const& torrent, std::uint32_t counted) const;
    void log_announce(std::string_view protocol, announce::announce_request const& request, endpoint const& from,
                      std::size_t peer_count) const;

    settings how_;
    registry::registry peers_;
    announce::connection_ids connections_;
    meter meter_;
    meter unproven_;  // of UDP senders who may be anybody: what a forger uses up is of no use to others
    counters numbers_;
};
}  // namespace shoal::hub
