module;
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>
#include <coroutine>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

module peer;
import shoal.announce;
import shoal.asio;
import shoal.core;
import shoal.metainfo;
import shoal.net;
import :catalogue;

namespace shoal::cli {
namespace {
namespace json = boost::json;

/// Bytes of a torrent file that is taken from the network: room for 800 000 pieces.
constexpr std::size_t torrent_bytes_max = 16u << 20;
/// Entries of one page of the list.
constexpr std::size_t page = 1000;
/// Pages of it: as many as a hub's catalogue has (docs/security.md), whatever this one says.
constexpr int pages_max = 100;

std::string percent_encoded(std::string_view text) {
    return announce::percent_encoded(as_bytes(text));
}

[[noreturn]] void no_hub(std::string_view root) {
    throw failure{exit_status::failed, escaped(root) + " is no Shoal hub"};
}

std::uint64_t number_of(json::object const& from, std::string_view name) {
    auto const* found = from.if_contains(name);
    if (!found || !found->is_number()) return 0;
    boost::json::error_code is_none;  // negative, or a fraction
    auto const number = found->to_number<std::uint64_t>(is_none);
    return is_none ? 0 : number;
}
std::string text_of(json::object const& from, std::string_view name) {
    auto const* found = from.if_contains(name);
    return found && found->is_string() ? std::string{found->as_string()} : std::string{};
}
std::vector<std::string> texts_of(json::object const& from, std::string_view name) {
    std::vector<std::string> texts;
    auto const* found = from.if_contains(name);
    if (!found || !found->is_array()) return texts;
    for (auto const& each : found->as_array())
        if (each.is_string()) texts.emplace_back(each.as_string());
    return texts;
}

std::optional<listed> listed_of(json::value const& from) {
    auto const* object = from.if_object();
    if (!object) return std::nullopt;
    auto const bytes = from_hex(text_of(*object, "hash"));
    auto const hash = bytes ? info_hash::from(*bytes) : std::nullopt;
    if (!hash) return std::nullopt;
    listed out;
    out.name = text_of(*object, "name");
    out.hash = *hash;
    out.size = number_of(*object, "size");
    out.files = number_of(*object, "file_count");
    out.seeders = number_of(*object, "seeders");
    out.nodes = out.seeders + number_of(*object, "leechers");
    out.owners = texts_of(*object, "owners");
    return out;
}

metainfo::torrent parsed(std::string_view bytes, std::string const& from) {
    auto torrent = metainfo::parse_torrent(as_bytes(bytes));
    if (!torrent)
        throw failure{exit_status::failed, escaped(from) + " is no valid torrent: " + torrent.error().message()};
    return std::move(torrent).value();
}
}  // namespace

std::string near_names(listing const& of) {
    std::string text;
    for (auto const& near : of.near) text += (text.empty() ? "; like it: " : ", ") + escaped(near);
    return text;
}

bool is_web_url(std::string_view text) {
    auto const begins_with = [text](std::string_view scheme) {
        return equal_without_case(text.substr(0, scheme.size()), scheme);  // RFC 3986, 3.1
    };
    return begins_with("http://") || begins_with("https://");
}

std::optional<hub_catalogue> hub_catalogue::of(std::vector<std::string> const& trackers, net::environment& outside) {
    for (auto const& url : trackers) {
        if (!is_web_url(url)) continue;
        auto const path = url.find('/', url.find("//") + 2);
        return hub_catalogue{url.substr(0, path), url, outside};
    }
    return std::nullopt;
}

net::task<net::http_reply> hub_catalogue::ask(std::string path) {
    net::http_limits limits;
    limits.body_bytes = torrent_bytes_max;
    auto const url = root_ + announce::with_passkey_of(announce_url_, path);
    limits.may_connect = net::no_way_in(url);
    auto reply = co_await net::http_get(outside_, url, limits);
    if (!reply) throw failure{exit_status::unreachable, "the hub " + escaped(root_) + ": " + reply.error().message()};
    if (reply.value().status == 401)
        throw failure{exit_status::not_permitted,
                      "the hub " + escaped(root_) + " wants the announce URL with your passkey"};
    if (reply.value().status == 429 || reply.value().status >= 500)
        throw failure{exit_status::unreachable, "the hub " + escaped(root_) + " is busy; try again later"};
    co_return std::move(reply).value();
}

net::task<listing> hub_catalogue::list(std::string query) {
    listing out;
    std::string after;
    for (int read = 0; read < pages_max; ++read) {
        auto const reply = co_await ask("/api/v1/torrents?limit=" + std::to_string(page) + query + after);
        std::error_code broken;
        auto const answer = json::parse(reply.body, broken);
        auto const* object = answer.if_object();
        if (reply.status == 400 && object) throw failure{exit_status::wrong_usage, escaped(text_of(*object, "error"))};
        auto const* contents = object && reply.status == 200 ? object->if_contains("torrents") : nullptr;
        if (!contents || !contents->is_array()) no_hub(root_);
        for (auto const& each : contents->as_array())
            if (auto one = listed_of(each)) out.contents.push_back(std::move(*one));
        out.near = texts_of(*object, "near");
        auto const next = text_of(*object, "next");
        auto const before = std::exchange(after, next.empty() ? "" : "&after=" + percent_encoded(next));
        if (after.empty() || after == before) break;  // the end, or a hub that goes in a circle
    }
    co_return out;
}

net::task<listing> hub_catalogue::find(std::string pattern) {
    co_return co_await list("&search=" + percent_encoded(pattern));
}

net::task<listing> hub_catalogue::by_name(std::string name) {
    co_return co_await list("&name=" + percent_encoded(name));
}

net::task<std::optional<metainfo::torrent>> hub_catalogue::fetch(info_hash hash) {
    auto const digits = to_hex(hash.view());
    auto const reply = co_await ask("/api/v1/torrents/" + digits + "/metainfo");
    if (reply.status == 404) co_return std::nullopt;
    if (reply.status != 200) no_hub(root_);
    auto torrent = parsed(reply.body, root_ + "'s " + digits);
    if (torrent.swarm_hash() != hash)
        throw failure{exit_status::mismatch, "the hub " + escaped(root_) + " gave another torrent than was asked for"};
    co_return torrent;
}

net::task<metainfo::torrent> fetch_torrent(net::environment& outside, std::string url) {
    auto const from = announce::without_secrets(url);
    auto const shown = escaped(from);
    net::http_limits limits;
    limits.body_bytes = torrent_bytes_max;
    limits.may_connect = net::no_way_in(url);
    auto const reply = co_await net::http_get(outside, url, limits);
    if (!reply) throw failure{exit_status::unreachable, shown + ": " + reply.error().message()};
    if (reply.value().status == 404) throw failure{exit_status::not_found, shown + ": not found"};
    if (reply.value().status != 200)
        throw failure{exit_status::failed, shown + ": status " + std::to_string(reply.value().status)};
    co_return parsed(reply.value().body, from);
}
}  // namespace shoal::cli
