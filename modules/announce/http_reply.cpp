module;
#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

#include "core/try.hpp"

module shoal.announce;
import shoal.bencode;
import shoal.core;

namespace shoal::announce {
namespace {
/// A reply is flat: peers in a list are its third level. Room for `reply_peers_max` dictionaries of seven items, and
/// for more that are dropped.
constexpr bencode::rules reply_rules{.strict = false, .depth_max = 32, .items_max = 65'536};
constexpr std::size_t v4_size = 4 + 2;   // BEP 23
constexpr std::size_t v6_size = 16 + 2;  // BEP 7

std::string text_of(bencode::value of, std::string_view key) {
    return std::string{of.find_text(key).value_or("").substr(0, reply_text_max)};
}

std::optional<std::uint32_t> count_of(bencode::value of, std::string_view key) {
    auto const number = of.find_integer(key);
    if (!number || *number < 0) return std::nullopt;
    return static_cast<std::uint32_t>(std::min<std::int64_t>(*number, std::numeric_limits<std::uint32_t>::max()));
}

std::optional<std::chrono::seconds> seconds_of(bencode::value of, std::string_view key) {
    auto const number = of.find_integer(key);
    if (!number) return std::nullopt;
    return std::chrono::seconds{std::clamp<std::int64_t>(*number, interval_min.count(), interval_max.count())};
}

bool add(std::vector<endpoint>& peers, endpoint at) {
    if (peers.size() == reply_peers_max || at.port == 0 || at.address.is_unspecified() || at.address.is_multicast())
        return false;
    peers.push_back(at);
    return true;
}

result<void> add_compact(std::vector<endpoint>& peers, byte_view list, std::size_t entry_size) {
    if (list.size() % entry_size != 0) return errc::bad_peers;
    for (; !list.empty() && peers.size() < reply_peers_max; list = list.subspan(entry_size)) {
        auto const address = ip_address::from(list.first(entry_size - 2));
        add(peers, {*address, load_be<std::uint16_t>(list.subspan(entry_size - 2))});
    }
    return success();
}

void add_dictionary(announce_reply& reply, bencode::value peer) {
    auto const address = ip_address::parse(peer.find_text("ip").value_or(""));
    auto const port = peer.find_integer("port").value_or(0);
    if (!address || port < 1 || port > 65'535) return;
    if (add(reply.peers, {*address, static_cast<std::uint16_t>(port)}))
        reply.ids.push_back(peer_id::from(peer.find_bytes("peer id").value_or(byte_view{})));
}

result<void> parse_peers(announce_reply& reply, bencode::value root) {
    auto& peers = reply.peers;
    if (auto const list = root.find("peers")) {
        if (auto const compact = list->bytes()) {
            SHOAL_TRY(add_compact(peers, *compact, v4_size));
        } else if (list->is_list()) {
            for (auto const peer : list->items()) {
                if (peers.size() == reply_peers_max) break;
                add_dictionary(reply, peer);
            }
        } else {
            return errc::bad_peers;
        }
    }
    if (auto const list = root.find("peers6")) {
        if (!list->bytes()) return errc::bad_peers;
        SHOAL_TRY(add_compact(peers, *list->bytes(), v6_size));
        if (!reply.ids.empty()) reply.ids.resize(peers.size());
    }
    return success();
}

/// Nothing when the tracker did not refuse.
std::optional<failure> parse_failure(bencode::value root) {
    if (!root.find_text("failure reason")) return std::nullopt;
    failure why{text_of(root, "failure reason"), std::nullopt, false};
    if (root.find_text("retry in") == "never") {
        why.is_final = true;
    } else {
        // BEP 31 gives minutes as an integer; as a string of digits it is seen too.
        auto minutes = root.find_integer("retry in");
        if (auto const text = root.find_text("retry in")) {
            std::int64_t number = 0;
            if (std::from_chars(text->data(), text->data() + text->size(), number).ec == std::errc{}) minutes = number;
        }
        auto const most = std::chrono::duration_cast<std::chrono::minutes>(interval_max).count();
        if (minutes && *minutes > 0) why.retry_in = std::chrono::minutes{std::min<std::int64_t>(*minutes, most)};
    }
    return why;
}

result<bencode::document> decode_reply(byte_view body) {
    if (body.size() > reply_bytes_max) return errc::too_long;
    SHOAL_TRY(auto document, bencode::decode(body, reply_rules));
    if (!document.root().is_dictionary()) return errc::bad_reply;
    return document;
}

std::string take_text(bencode::encoder& from) {
    return std::string{as_text(from.take())};
}
}  // namespace

result<std::variant<announce_reply, failure>> parse_http_reply(byte_view body) {
    SHOAL_TRY(auto const document, decode_reply(body));
    auto const root = document.root();
    if (auto why = parse_failure(root)) return std::move(*why);
    // Neither peers nor an interval: something else than a tracker answered.
    if (!root.find("peers") && !root.find("peers6") && !root.find("interval")) return errc::bad_reply;
    announce_reply reply;
    reply.interval = seconds_of(root, "interval").value_or(interval_default);
    reply.min_interval = seconds_of(root, "min interval");
    reply.seeders = count_of(root, "complete");
    reply.leechers = count_of(root, "incomplete");
    reply.downloaded = count_of(root, "downloaded");
    SHOAL_TRY(parse_peers(reply, root));
    reply.warning = text_of(root, "warning message");
    if (auto const id = root.find_text("tracker id"); id && id->size() <= tracker_id_max) reply.tracker_id = *id;
    if (auto const path = root.find_text("shoal session"); path && path->size() <= session_path_max)
        reply.session = *path;
    reply.external_ip = ip_address::from(root.find_bytes("external ip").value_or(byte_view{}));
    return reply;
}

result<std::variant<scrape_reply, failure>> parse_http_scrape_reply(byte_view body) {
    SHOAL_TRY(auto const document, decode_reply(body));
    auto const root = document.root();
    if (auto why = parse_failure(root)) return std::move(*why);
    auto const files = root.find("files");
    if (!files || !files->is_dictionary()) return errc::bad_reply;
    scrape_reply reply;
    for (auto const& [key, numbers] : files->entries()) {
        auto const torrent = info_hash::from(as_bytes(key));
        if (!torrent || reply.torrents.size() == scrape_hashes_max) continue;
        reply.torrents.push_back({*torrent, count_of(numbers, "complete").value_or(0),
                                  count_of(numbers, "incomplete").value_or(0),
                                  count_of(numbers, "downloaded").value_or(0)});
    }
    if (auto const flags = root.find("flags")) reply.min_interval = seconds_of(*flags, "min_request_interval");
    return reply;
}

std::string encode_http_reply(announce_reply const& reply, announce_request const& asked) {
    bencode::encoder out;
    out.dictionary();
    auto count = [&](std::string_view key, std::optional<std::uint32_t> number) {
        if (number) out.entry(key, std::int64_t{*number});
    };
    count("complete", reply.seeders);
    count("downloaded", reply.downloaded);
    if (reply.external_ip) out.entry("external ip", reply.external_ip->bytes());
    count("incomplete", reply.leechers);
    out.entry("interval", std::int64_t{reply.interval.count()});
    if (reply.min_interval) out.entry("min interval", std::int64_t{reply.min_interval->count()});
    if (asked.is_compact) {
        byte_vector rows;
        append_compact(rows, reply.peers, udp_family::v4, reply.peers.size());
        out.entry("peers", byte_view{rows});
        auto const rows_v4 = rows.size() / v4_size;
        if (rows_v4 < reply.peers.size()) {
            rows.clear();
            append_compact(rows, reply.peers, udp_family::v6, reply.peers.size() - rows_v4);
            out.entry("peers6", byte_view{rows});
        }
    } else {
        out.key("peers").list();
        for (std::size_t i = 0; i < reply.peers.size(); ++i) {
            auto const& peer = reply.peers[i];
            out.dictionary().entry("ip", peer.address.to_string());
            if (i < reply.ids.size() && reply.ids[i] && !asked.no_peer_id) out.entry("peer id", reply.ids[i]->view());
            out.entry("port", std::int64_t{peer.port}).end();
        }
        out.end();
    }
    if (!reply.session.empty()) out.entry("shoal session", reply.session);
    if (!reply.tracker_id.empty()) out.entry("tracker id", reply.tracker_id);
    if (!reply.warning.empty()) out.entry("warning message", reply.warning);
    out.end();
    return take_text(out);
}

std::string encode_http_scrape_reply(scrape_reply const& reply) {
    auto sorted = reply.torrents;  // a dictionary has no key twice
    auto const by_name = [](scrape_entry const& entry) { return entry.torrent; };
    std::ranges::sort(sorted, {}, by_name);
    auto const repeated = std::ranges::unique(sorted, {}, by_name);
    sorted.erase(repeated.begin(), repeated.end());
    bencode::encoder out;
    out.dictionary().key("files").dictionary();
    for (auto const& entry : sorted) {
        out.key(as_text(entry.torrent.view())).dictionary();
        out.entry("complete", std::int64_t{entry.seeders}).entry("downloaded", std::int64_t{entry.downloaded});
        out.entry("incomplete", std::int64_t{entry.leechers}).end();
    }
    out.end();
    if (reply.min_interval)
        out.key("flags").dictionary().entry("min_request_interval", std::int64_t{reply.min_interval->count()}).end();
    out.end();
    return take_text(out);
}

std::string encode_http_failure(failure const& why) {
    bencode::encoder out;
    out.dictionary().entry("failure reason", why.reason);
    if (why.is_final)
        out.entry("retry in", "never");
    else if (why.retry_in)
        out.entry("retry in", std::int64_t{why.retry_in->count()});
    out.end();
    return take_text(out);
}
}  // namespace shoal::announce
