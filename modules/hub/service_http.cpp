module;
#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

module shoal.hub;
import shoal.announce;
import shoal.core;
import shoal.net;
import shoal.registry;
import shoal.session;
import :service;

namespace shoal::hub {
namespace {
net::http_response text(std::uint16_t status, std::string body) {
    return {.status = status, .body = std::move(body)};
}
/// Status 200: clients look into the body for the reason.
net::http_response refusal(std::string reason) {
    return text(200, announce::encode_http_failure({std::move(reason), std::nullopt, false}));
}
/// A Shoal peer by its id; others would not know what to do with the key. Source: BEP 20.
bool is_shoal(peer_id const& id) {
    return as_text(id.view()).starts_with("-SL");
}
}  // namespace

net::http_response service::answer(net::http_request const& request, time_point now) {
    if (request.method != "GET" && request.method != "HEAD") {
        auto response = text(405, "only GET and HEAD\n");
        response.fields.emplace_back("Allow", "GET, HEAD");
        return response;
    }
    auto const mark = std::min(request.target.find('?'), request.target.size());
    auto const path = request.target.substr(0, mark);
    auto const query = request.target.substr(std::min(mark + 1, request.target.size()));
    if (path == "/healthz") return text(200, "ok\n");
    if (path != "/announce" && path != "/scrape") return text(404, "not found\n");
    if (!is_admitted(meter_, request.remote.address, now)) return text(429, "too many requests\n");
    // By the URL alone: a browser would send a password that it knows for the page of any other site (class K2).
    auto const passkey = announce::passkey_of(request.target).value_or("");
    if (!lets_in(room::announces, passkey)) return refusal(std::string{announce::not_permitted});
    return path == "/announce" ? answer_announce(query, request, now) : answer_scrape(query);
}

net::http_response service::answer_announce(std::string_view query, net::http_request const& request, time_point now) {
    auto const parsed = announce::parse_http_query(query);
    if (!parsed) {
        ++numbers_.malformed;
        return refusal(parsed.error().message());
    }
    auto const& asked = parsed.value();
    ++numbers_.http_announces;
    auto reply = announce(asked, request.remote, registry::families::both, now);
    // Not to whom the session would be refused.
    if (is_shoal(asked.peer) && entrance.admits(room::all, announce::passkey_of(request.target).value_or("")))
        reply.session = session::path;
    log_announce("http", asked, request.remote, reply.peers.size());
    return text(200, announce::encode_http_reply(reply, asked));
}

net::http_response service::answer_scrape(std::string_view query) {
    auto const torrents = announce::parse_scrape_query(query);
    if (!torrents) {
        ++numbers_.malformed;
        return refusal(torrents.error().message());
    }
    // No list of everything: it would be large, and private torrents have their hash for a key (class I4).
    if (torrents.value().empty()) return refusal(make_error_code(announce::errc::bad_info_hash).message());
    ++numbers_.http_scrapes;
    return text(200, announce::encode_http_scrape_reply(scrape(torrents.value())));
}
}  // namespace shoal::hub
