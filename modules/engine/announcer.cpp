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
#include <variant>
#include <vector>

#include <boost/container/deque.hpp>
#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>

#include "core/try.hpp"

module shoal.engine;
import shoal.announce;
import shoal.asio;
import shoal.core;
import shoal.net;
import :transfer;
import :swarm;

namespace shoal::engine {
namespace {
/// By the scheme, in which case does not count. Source: RFC 3986, 3.1.
bool is_udp(std::string_view url) {
    constexpr std::string_view scheme = "udp:";
    return equal_without_case(url.substr(0, scheme.size()), scheme);
}
}  // namespace

announced::~announced() = default;

announcer::announcer(announced& owner, std::vector<std::string> urls, std::vector<std::string> const& given)
    : owner_(owner), node_(owner.at_node()), urls_(std::move(urls)), news_(node_.home) {
    for (auto const& each : given) given_.insert(announce::without_passkey(each));
    // Source: BEP 12, "URLs within each tier will be processed in a randomly chosen order".
    for (auto left = urls_.size(); left > 1; --left)
        std::swap(urls_[left - 1], urls_[node_.outside.random.next() % left]);
}

void announcer::completed() {
    is_completed_ = true;
    news_.notify();
}

net::task<void> announcer::run() {
    auto& clock = node_.outside.clock;
    duration retry_after = announce_retry_after;
    for (;;) {
        auto next = clock.now();
        bool is_answered = false;
        for (std::size_t i = 0; i < urls_.size() && !is_answered; ++i) {
            auto const url = urls_[i];
            if (may_ask_at(url) > clock.now()) continue;
            auto const what = known_at_ != url ? announce::event::started
                              : is_completed_  ? announce::event::completed
                                               : announce::event::none;
            auto const reply = co_await announce(url, what);
            if (!reply) {
                heed_refusal(url);
                owner_.tell(
                    event::announce_failed{url, refused_.reason.empty() ? reply.error().message() : refused_.reason});
                continue;
            }
            is_answered = true;
            known_at_ = url;
            if (what == announce::event::completed) is_completed_ = false;
            std::rotate(urls_.begin(), urls_.begin() + static_cast<std::ptrdiff_t>(i),
                        urls_.begin() + static_cast<std::ptrdiff_t>(i) + 1);  // the one that works first (BEP 12)
            std::vector<endpoint> peers;
            for (auto const& each : reply.value().peers) peers.push_back(each);
            owner_.add_peers(peers);
            owner_.tell(event::announced{url, peers.size(), reply.value().warning, reply.value().session});
            auto const least = duration{reply.value().min_interval.value_or(announce::interval_min)};
            // Few peers while we need some: ask again as soon as the tracker lets us. The client side of `announce` has
            // kept both times at a minute or more (class A14).
            auto const wait = owner_.is_hungry() ? least : std::max<duration>(least, reply.value().interval);
            next = is_completed_ ? clock.now() : clock.now() + wait;  // it knows of the start alone
            retry_after = announce_retry_after;
        }
        if (!is_answered) {
            next = time_point::max();
            for (auto const& url : urls_) next = std::min(next, std::max(clock.now() + retry_after, may_ask_at(url)));
            if (next == time_point::max()) co_return;  // none of them wants to hear of us again
            retry_after = std::min<duration>(2 * retry_after, announce_retry_after_max);
        }
        // Only completion is worth an announce before its time. It may have been told already, to another tracker.
        do co_await clock.wait(news_, next);
        while (clock.now() < next && !is_completed_);
    }
}

/// A tracker that says when, or that it never wants to be asked again, is not asked before. Source: BEP 31.
void announcer::heed_refusal(std::string const& url) {
    if (refused_.is_final) {
        ask_at_[url] = time_point::max();
        if (known_at_ == url) known_at_.clear();
    } else if (refused_.retry_in) {
        ask_at_[url] = node_.outside.clock.now() + *refused_.retry_in;
    }
}

time_point announcer::may_ask_at(std::string const& url) const {
    auto const found = ask_at_.find(url);
    return found == ask_at_.end() ? time_point::min() : found->second;
}

net::task<void> announcer::farewell() {
    if (known_at_.empty()) co_return;
    (void)co_await announce(known_at_, announce::event::stopped);
    known_at_.clear();
}

announce::announce_request announcer::request_for(announce::event what) const {
    auto request = owner_.numbers();
    request.peer = node_.id;
    request.port = node_.port;
    request.what = what;
    // A seeder asks too: whom nobody can connect to connects to those who want something.
    request.peers_wanted = what == announce::event::stopped ? 0 : peers_wanted;
    request.key = node_.key;
    return request;
}

net::task<result<announce::announce_reply>> announcer::announce(std::string url, announce::event what) {
    auto& clock = node_.outside.clock;
    refused_ = {};
    auto request = request_for(what);
    if (auto const id = tracker_ids_.find(url); id != tracker_ids_.end()) request.tracker_id = id->second;
    auto const deadline = clock.now() + announce_timeout;
    auto reply = is_udp(url) ? co_await net::with_deadline(clock, deadline, over_udp(url, request))
                             : co_await net::with_deadline(clock, deadline, over_http(url, request));
    if (!reply) co_return reply;
    if (!reply.value().tracker_id.empty()) tracker_ids_[url] = reply.value().tracker_id;
    // The user's own tracker may stand outside of a network whose members announce from within.
    auto const teller = [&](ip_address const& told) { return is_given(url) ? told : asked_; };
    reply.value().ids.clear();
    std::erase_if(reply.value().peers, [&](endpoint const& each) { return !may_tell_of(teller(each.address), each); });
    co_return reply;
}

bool announcer::is_given(std::string const& url) const {
    return given_.contains(announce::without_passkey(url));
}

net::task<result<announce::announce_reply>> announcer::over_http(std::string url, announce::announce_request request) {
    net::http_limits limits;
    limits.body_bytes = announce::reply_bytes_max;
    limits.total = announce_timeout;
    limits.user_agent = node_.settings.client;
    limits.connect_from = node_.settings.outgoing_from;
    auto const target = announce::announce_target(url, request);
    // A tracker of this network may be one that the user runs; one from outside shall not send us there, and a torrent
    // to nothing but a tracker.
    bool const is_trusted = is_given(url) || announce::looks_like_tracker(url);
    limits.may_connect = [this, is_trusted, rule = net::no_way_in(target)](ip_address const& address,
                                                                           std::string_view to) {
        asked_ = address;
        return (is_trusted || !address.is_local()) && rule(address, to);
    };
    SHOAL_CO_TRY(auto got, co_await net::http_get(node_.outside, target, limits));
    SHOAL_CO_TRY(auto said, announce::parse_http_reply(as_bytes(got.body)));
    if (auto* refused = std::get_if<announce::failure>(&said)) {
        refused_ = *refused;
        co_return make_error_code(errc::tracker_refused);
    }
    co_return std::get<announce::announce_reply>(std::move(said));
}

net::task<result<announce::announce_reply>> announcer::over_udp(std::string url, announce::announce_request request) {
    auto const parsed = boost::urls::parse_uri(url);
    if (!parsed || !parsed->has_port() || parsed->port_number() == 0) co_return make_error_code(errc::bad_tracker_url);
    auto& outside = node_.outside;
    SHOAL_CO_TRY(auto const addresses, co_await outside.network.resolve(parsed->encoded_host_address().decode()));
    std::string const path{parsed->encoded_target().data(), parsed->encoded_target().size()};
    auto const count = std::min(addresses.size(), udp_addresses_max);
    auto reply = result<announce::announce_reply>{make_error_code(errc::bad_tracker_url)};
    for (std::size_t i = 0; i < count && !reply && reply.error() != errc::tracker_refused; ++i) {
        bool const is_service = parsed->port_number() < low_ports_end && addresses[i].is_local();
        if (is_service && !is_given(url)) continue;  // class J1
        asked_ = addresses[i];
        reply = co_await net::with_deadline(outside.clock, outside.clock.now() + announce_timeout / count,
                                            over_udp_at({addresses[i], parsed->port_number()}, path, request));
    }
    co_return reply;
}

net::task<result<announce::announce_reply>> announcer::over_udp_at(endpoint tracker, std::string path,
                                                                   announce::announce_request request) {
    auto& outside = node_.outside;
    bool const is_v4 = tracker.address.is_v4();
    endpoint local{is_v4 ? ip_address::v4({0, 0, 0, 0}) : ip_address::v6({}), 0};
    if (auto const from = node_.settings.outgoing_from; from && from->is_v4() == is_v4) local.address = *from;
    SHOAL_CO_TRY(auto socket, outside.network.open_datagram(local));
    announce::udp_client client{outside.random.next(), is_v4 ? announce::udp_family::v4 : announce::udp_family::v6};
    client.announce(std::move(request), path, outside.clock.now());
    std::array<net::datagram, 8> arrived;
    for (;;) {
        while (auto const packet = client.next_packet()) {
            net::datagram const out{tracker, *packet};
            SHOAL_CO_TRY(socket->send({&out, 1}));
        }
        auto got = co_await net::with_deadline(outside.clock, client.deadline(), socket->receive(arrived));
        auto const now = outside.clock.now();
        if (got) {
            for (std::size_t i = 0; i < got.value(); ++i)
                if (arrived[i].peer == tracker) client.receive(arrived[i].bytes, now);
        } else if (got.error() == net::errc::timed_out) {
            client.wake(now);
        } else {
            co_return got.error();
        }
        auto outcome = client.take_outcome();
        if (!outcome) continue;
        if (auto* reply = std::get_if<announce::announce_reply>(&*outcome)) co_return std::move(*reply);
        if (auto* refused = std::get_if<announce::failure>(&*outcome)) {
            refused_ = *refused;
            co_return make_error_code(errc::tracker_refused);
        }
        if (auto* why = std::get_if<std::error_code>(&*outcome)) co_return *why;
    }
}
}  // namespace shoal::engine
