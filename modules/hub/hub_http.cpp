module;
#include <algorithm>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <boost/json/string.hpp>
#include <boost/url/parse.hpp>
#include <boost/url/url_view.hpp>
#include <charconv>
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "core/try.hpp"

module shoal.hub;
import shoal.announce;
import shoal.asio;
import shoal.core;
import shoal.net;
import shoal.session;
import :service;
import :monitor;
import :parts;

namespace shoal::hub {
namespace {
using namespace std::chrono_literals;
namespace json = boost::json;

constexpr std::string_view api_root = "/api/v1/";
/// Torrents on a page of the list, by default and at most.
constexpr std::size_t page_default = 100;
constexpr std::size_t page_max = 1000;
/// Names offered where the one that was asked for is not there.
constexpr std::size_t near_names = 5;
/// Entries that are looked at for them: several may have one name, or be withdrawn.
constexpr std::size_t near_entries = 50;
/// Silence on an event stream after which a comment shows that the hub is there.
constexpr auto keep_alive = 15s;

net::http_response respond(std::uint16_t status, std::string type, std::string body) {
    net::http_response out{.status = status, .content_type = std::move(type), .body = std::move(body)};
    out.fields = {{"Cache-Control", "no-store"},
                  {"X-Content-Type-Options", "nosniff"},
                  {"Referrer-Policy", "no-referrer"},
                  {"Content-Security-Policy",
                   "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
                   "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"}};
    return out;
}
net::http_response json_response(std::string body) {
    return respond(200, "application/json", std::move(body));
}
net::http_response refusal(std::uint16_t status, std::string_view why) {
    auto out = respond(status, "application/json", json::serialize(json::object{{"error", why}}));
    if (status == 401) out.fields.emplace_back("WWW-Authenticate", "Basic realm=\"Shoal hub\", charset=\"UTF-8\"");
    if (status == 405) out.fields.emplace_back("Allow", "GET, HEAD");
    if (status == 429) out.fields.emplace_back("Retry-After", "1");
    return out;
}
net::http_response refusal(std::error_code why) {
    return refusal(why == errc::pattern_too_long || why == errc::pattern_too_wide ? 400 : 503, why.message());
}

std::string_view path_of(std::string_view target) {
    return target.substr(0, target.find('?'));
}

/// The decoded value of the first parameter of that name.
std::optional<std::string> parameter(net::http_request const& request, std::string_view name) {
    auto const parsed = boost::urls::parse_origin_form(request.target);
    if (!parsed) return std::nullopt;
    auto const parameters = parsed->params();
    auto const found = parameters.find(boost::urls::string_view{name.data(), name.size()});
    if (found == parameters.end()) return std::nullopt;
    return std::string{(*found).value};
}

/// A number from 1 to `most`; `otherwise` when it was not given, nothing when it is none.
std::optional<std::size_t> count_of(net::http_request const& request, std::string_view name, std::size_t otherwise,
                                    std::size_t most) {
    auto const text = parameter(request, name);
    if (!text) return otherwise;
    std::size_t number = 0;
    auto const [end, why] = std::from_chars(text->data(), text->data() + text->size(), number);
    if (why != std::errc{} || end != text->data() + text->size() || number == 0 || number > most) return std::nullopt;
    return number;
}

/// Where somebody announces who reaches the hub as this request did, with the passkey that it showed.
std::string announce_url_for(net::http_request const& request) {
    auto const url = "http://" + std::string{request.field("Host")} + "/announce";
    auto const passkey = passkey_of(request);
    return passkey.empty() ? url : url + "?passkey=" + announce::percent_encoded(as_bytes(passkey));
}

std::optional<info_hash> hash_in(std::string_view digits) {
    auto const bytes = from_hex(digits);
    if (!bytes) return std::nullopt;
    return info_hash::from(*bytes);
}

}  // namespace

/// Announces and scrapes are everybody's. All else is for people: the page, its data, and sessions.
net::task<net::http_response> hub_parts::answer(net::http_request const& request) {
    auto const path = path_of(request.target);
    if (path == "/announce" || path == "/scrape" || path == "/healthz") {
        // No client is a web page: one would enlist whoever reads it, or whom it likes (class K2).
        if (auto const site = request.field("Sec-Fetch-Site");
            path == "/announce" && (!request.field("Origin").empty() || (!site.empty() && site != "none")))
            co_return refusal(403, "web pages cannot announce");
        co_return core.answer(request, now());
    }
    auto const name = path == "/" ? std::string_view{"index.html"} : path.substr(std::min<std::size_t>(1, path.size()));
    auto const file = std::ranges::find(page_files(), name, &page_file::path);
    bool const is_page = file != page_files().end();
    if (!is_page && path != session::path && path != "/metrics" && !path.starts_with(api_root))
        co_return refusal(404, "not found");
    if (request.method != "GET" && request.method != "HEAD") co_return refusal(405, "only GET and HEAD");
    if (!core.admit(request.remote.address, now())) co_return refusal(429, "too many requests");
    auto const host = request.field("Host");
    if (!is_our_host(host, core.how().host_names))
        co_return refusal(421, "this hub is not called that: use its address, or start it with --host-name");
    if (!is_our_origin(request.field("Origin"), host)) co_return refusal(403, "asked by a page of another site");
    if (auto const site = request.field("Sec-Fetch-Site"); site == "cross-site" && path != "/")
        co_return refusal(403, "asked by a page of another site");
    auto const is_counts = path == "/metrics" || path == std::string{api_root} + "status";
    auto const passkey = passkey_of(request);
    if (!core.lets_in(is_counts ? room::counts : room::all, passkey))
        co_return refusal(401, passkey.empty() ? "this hub wants a passkey" : "this hub does not know this passkey");
    if (path == session::path) co_return begin_session(request);
    if (path == "/metrics") co_return respond(200, "text/plain; version=0.0.4", watch.metrics(numbers(), now()));
    if (path.starts_with(api_root)) co_return co_await answer_api(path.substr(api_root.size()), request);
    co_return respond(200, std::string{file->content_type}, std::string{file->bytes});
}

net::task<net::http_response> hub_parts::answer_api(std::string_view path, net::http_request const& request) {
    if (path == "events") co_return stream_events(request);
    if (path == "status") co_return json_response(watch.status_json(numbers(), now()));
    if (path == "nodes") co_return list_nodes(request);
    if (path == "transfers") co_return json_response(watch.transfers_json());
    if (path == "history") co_return json_response(watch.history_json(now()));
    if (path == "log") {
        auto const limit = count_of(request, "limit", log_lines_shown, log_lines_max);
        if (!limit) co_return refusal(400, "limit is a number from 1 to 1000");
        co_return json_response(watch.log_json(*limit));
    }
    if (path == "torrents") co_return co_await list_torrents(request);
    constexpr std::string_view one = "torrents/";
    if (!path.starts_with(one)) co_return refusal(404, "not found");
    path.remove_prefix(one.size());
    auto const slash = std::min(path.find('/'), path.size());
    auto const torrent = hash_in(path.substr(0, slash));
    if (!torrent) co_return refusal(400, "an info-hash has 40 hexadecimal digits");
    auto const rest = path.substr(slash);
    if (rest.empty()) co_return co_await show_torrent(*torrent);
    if (rest == "/metainfo") co_return co_await hand_out(*torrent, announce_url_for(request));
    co_return refusal(404, "not found");
}

/// Whether somebody shares it, or has it now: what was taken out is remembered for a while, and listed no more.
bool hub_parts::is_to_be_had(catalogue_entry const& entry) const {
    return entry.owner_count > 0 || nodes.torrents().contains(entry.swarm_hash);
}

std::vector<info_hash> hub_parts::to_be_had(std::vector<catalogue_entry> const& entries) const {
    std::vector<info_hash> out;
    for (auto const& each : entries)
        if (is_to_be_had(each)) out.push_back(each.swarm_hash);
    return out;
}

net::http_response hub_parts::list_nodes(net::http_request const& request) const {
    auto const limit = count_of(request, "limit", objects_shown, objects_shown);
    if (!limit) return refusal(400, "limit is a number from 1 to 2000");
    auto const after = parameter(request, "after").value_or("n0");
    node_number number = 0;
    auto const [end, why] =
        std::from_chars(after.data() + std::min<std::size_t>(1, after.size()), after.data() + after.size(), number);
    if (!after.starts_with('n') || why != std::errc{} || end != after.data() + after.size())
        return refusal(400, "after is the next of the page before");
    return json_response(watch.nodes_json(number, *limit));
}

net::task<net::http_response> hub_parts::list_torrents(net::http_request const& request) {
    auto const limit = count_of(request, "limit", page_default, page_max);
    if (!limit) co_return refusal(400, "limit is a number from 1 to 1000");
    if (auto const name = parameter(request, "name")) {
        auto const exact = co_await shelves->call<result<std::vector<catalogue_entry>>>(
            [&](catalogue& in) { return in.by_name(*name); });
        if (!exact) co_return refusal(exact.error());
        if (auto const known = to_be_had(exact.value()); !known.empty())
            co_return json_response(watch.torrents_json(known, known.size(), std::nullopt));
        auto const close = co_await shelves->call<result<std::vector<catalogue_entry>>>(
            [&](catalogue& in) { return in.near(*name, near_entries); });
        if (!close) co_return refusal(close.error());
        auto text = watch.torrents_json({}, 0, std::nullopt);
        json::array names;
        for (auto const& each : close.value()) {
            json::value const near = json::string{each.name};
            if (names.size() < near_names && is_to_be_had(each) && std::ranges::find(names, near) == names.end())
                names.push_back(near);
        }
        text.pop_back();
        co_return json_response(text + ",\"near\":" + json::serialize(names) + "}");
    }
    auto const search = parameter(request, "search").value_or("");
    std::optional<catalogue_position> after;
    if (auto const text = parameter(request, "after")) {
        auto const hash = hash_in(*text);
        if (!hash) co_return refusal(400, "after is the next of the page before");
        auto const known = watch.shared.find(*hash);
        if (known == watch.shared.end()) co_return refusal(400, "after is the next of the page before");
        after = catalogue_position{known->second.name, *hash};
    }
    auto const page =
        co_await shelves->call<result<catalogue_page>>([&](catalogue& in) { return in.find(search, *limit, after); });
    if (!page) co_return refusal(page.error());
    auto wanted = to_be_had(page.value().entries);
    std::optional<std::string> next;
    if (page.value().next) next = to_hex(page.value().next->swarm_hash.view());
    // Torrents that are only announced have no name; they stand behind all that do.
    if (search.empty() && !next)
        for (auto const& [hash, of] : nodes.torrents())
            if (wanted.size() < *limit && !watch.shared.contains(hash)) wanted.push_back(hash);
    auto const total = search.empty() ? watch.torrents().size() : wanted.size();
    co_return json_response(watch.torrents_json(wanted, total, next));
}

net::task<net::http_response> hub_parts::show_torrent(info_hash torrent) {
    if (!watch.knows(torrent)) co_return refusal(404, "no such torrent");
    json::array files;
    if (watch.shared.contains(torrent)) {
        for (;;) {
            auto const found = co_await shelves->call<result<std::vector<catalogue_file>>>(
                [&](catalogue& in) { return in.files(torrent, files.size()); });
            if (!found) co_return refusal(found.error());
            for (auto const& each : found.value())
                files.push_back(json::object{{"path", each.path}, {"size", each.size}});
            if (found.value().size() < listed_entries_max) break;
        }
    }
    co_return json_response(watch.torrent_json(torrent, json::serialize(files)));
}

net::task<net::http_response> hub_parts::hand_out(info_hash torrent, std::string announce_url) {
    auto found = co_await shelves->call<result<std::optional<stored_torrent>>>(
        [&](catalogue& in) { return in.by_hash(torrent); });
    if (!found) co_return refusal(found.error());
    if (!found.value()) co_return refusal(404, "no such torrent");
    // The catalogue keeps no tracker: the hub's own address is the one that is asked at. `announce` is the first key.
    auto const kept = as_text(found.value()->metainfo);
    auto const key = "d8:announce" + std::to_string(announce_url.size()) + ":" + announce_url;
    auto out = respond(200, "application/x-bittorrent", key + std::string{kept.substr(1)});
    out.fields.emplace_back("Content-Disposition", "attachment; filename=\"" + to_hex(torrent.view()) + ".torrent\"");
    co_return out;
}

net::http_response hub_parts::stream_events(net::http_request const& request) {
    auto out = respond(200, "text/event-stream", {});
    std::string last_id{request.field("Last-Event-ID").substr(0, 64)};
    auto const card = core.entrance.card_of(passkey_of(request));
    out.stream = [this, last_id, card](net::body_writer& to) { return send_events(to, last_id, card); };
    return out;
}

net::task<void> hub_parts::send_events(net::body_writer& to, std::string last_id, member_card card) {
    net::signal news{co_await asio::this_coro::executor};
    struct listening {
        hub_parts& of;
        net::signal* news;
        listening(hub_parts& parts, net::signal& signal) : of(parts), news(&signal) {
            of.watch.listen();
            of.listeners.push_back(news);
        }
        ~listening() {
            of.watch.unlisten();
            of.listeners.remove(news);
        }
    } const here{*this, news};
    std::uint64_t position = 0;
    auto text = watch.catch_up(last_id, position, now());
    if (text.empty()) text = ": up to date\n\n";
    if (!co_await to.write(text)) co_return;
    while (core.entrance.is_still_in(card)) {
        auto const events = watch.after(position, now());
        for (auto const& each : events)
            if (!co_await to.write(*each)) co_return;
        if (!events.empty()) continue;
        if (!co_await outside.clock.wait(news, now() + keep_alive) && !co_await to.write(": keep-alive\n\n")) co_return;
    }
}

net::http_response hub_parts::begin_session(net::http_request const& request) {
    net::http_response out;
    auto const card = core.entrance.card_of(passkey_of(request));
    out.upgrade = [this, card](net::web_socket& with) { return hold_session(with, card); };
    return out;
}
}  // namespace shoal::hub
