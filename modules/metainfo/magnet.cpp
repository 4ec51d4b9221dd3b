module;
#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/try.hpp"

module shoal.metainfo;
import shoal.bencode;
import shoal.core;
import shoal.hash;

namespace shoal::metainfo {
namespace {
/// Takes what stands before the next `separator` off `text`, and the separator.
std::string_view take_until(std::string_view& text, char separator) {
    auto const at = text.find(separator);
    auto const taken = text.substr(0, at);
    text.remove_prefix(at == std::string_view::npos ? text.size() : at + 1);
    return taken;
}

char lower(char c) {
    return c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
}

bool take_prefix(std::string_view& text, std::string_view lower_case_prefix) {
    if (text.size() < lower_case_prefix.size() ||
        !std::equal(lower_case_prefix.begin(), lower_case_prefix.end(), text.begin(),
                    [](char a, char b) { return a == lower(b); }))
        return false;
    text.remove_prefix(lower_case_prefix.size());
    return true;
}

/// Nothing where an escape is not `%` and two hexadecimal digits.
std::optional<std::string> percent_decoded(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '+') {
            out += ' ';
        } else if (text[i] != '%') {
            out += text[i];
        } else {
            auto const byte = from_hex(text.substr(i + 1, 2));
            if (!byte || byte->size() != 1) return std::nullopt;
            out += as_text(*byte);
            i += 2;
        }
    }
    return out;
}

std::string percent_encoded(std::string_view text) {
    constexpr std::string_view unreserved = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
    std::string out;
    for (auto const& c : text) {
        if (unreserved.find(c) != std::string_view::npos)
            out += c;
        else
            out += '%' + to_hex(as_bytes({&c, 1}));
    }
    return out;
}

/// RFC 4648 base32 without padding, either case; nothing for another character or bits left over that are not 0.
std::optional<byte_vector> from_base32(std::string_view text) {
    byte_vector out;
    std::uint32_t bits = 0;
    int count = 0;
    for (auto const each : text) {
        auto const c = lower(each);
        if (c >= 'a' && c <= 'z')
            bits = bits << 5 | static_cast<std::uint32_t>(c - 'a');
        else if (c >= '2' && c <= '7')
            bits = bits << 5 | static_cast<std::uint32_t>(c - '2' + 26);
        else
            return std::nullopt;
        count += 5;
        if (count < 8) continue;
        count -= 8;
        out.push_back(static_cast<std::byte>(bits >> count));
        bits &= (1U << count) - 1;
    }
    if (bits != 0) return std::nullopt;
    return out;
}

template <class Digest>
std::optional<Digest> digest_of(std::optional<byte_vector> const& bytes) {
    return bytes ? Digest::from(*bytes) : std::nullopt;
}

result<void> read_topic(std::string_view topic, magnet& into) {
    if (take_prefix(topic, "urn:btih:")) {
        auto const digest = digest_of<sha1_digest>(topic.size() == 32 ? from_base32(topic) : from_hex(topic));
        if (!digest) return errc::bad_info_hash;
        if (!into.info_hash_v1) into.info_hash_v1 = digest;
    } else if (take_prefix(topic, "urn:btmh:")) {
        // A multihash names its kind: 0x12 is SHA-256, 0x20 its length. Another kind is a hash we do not know.
        if (!take_prefix(topic, "1220")) return success();
        auto const digest = digest_of<sha256_digest>(from_hex(topic));
        if (!digest) return errc::bad_info_hash;
        if (!into.info_hash_v2) into.info_hash_v2 = digest;
    }
    return success();
}

std::optional<std::uint32_t> number(std::string_view digits) {
    std::uint32_t value = 0;
    auto const [end, failed] = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (digits.empty() || failed != std::errc{} || end != digits.data() + digits.size()) return std::nullopt;
    return value;
}

}  // namespace

std::optional<host_port> parse_host_port(std::string_view text) {
    auto const colon = text.rfind(':');
    if (colon == std::string_view::npos) return std::nullopt;
    auto host = text.substr(0, colon);
    auto const port = number(text.substr(colon + 1));
    if (!port || *port == 0 || *port > 0xffff) return std::nullopt;
    if (host.starts_with('[') && host.ends_with(']')) {
        host = host.substr(1, host.size() - 2);
        if (!ip_address::parse(host)) return std::nullopt;
    } else if (host.find(':') != std::string_view::npos) {
        return std::nullopt;
    }
    if (!is_host(host)) return std::nullopt;
    return host_port{std::string{host}, static_cast<std::uint16_t>(*port)};
}

namespace {
void read_selection(std::string_view list, std::vector<index_range>& into) {
    while (!list.empty() && into.size() < magnet_items_max) {
        auto item = take_until(list, ',');
        auto const is_range = item.find('-') != std::string_view::npos;
        auto const first = number(take_until(item, '-'));
        auto const last = is_range ? number(item) : first;
        if (first && last && *first <= *last) into.push_back({*first, *last});
    }
}

template <class Value>
void append(std::vector<Value>& to, Value value) {
    if (to.size() < magnet_items_max && std::find(to.begin(), to.end(), value) == to.end())
        to.push_back(std::move(value));
}

result<void> read_parameter(std::string_view key, std::string const& value, magnet& into) {
    if (auto const dot = key.find('.'); dot != std::string_view::npos && number(key.substr(dot + 1)))
        key = key.substr(0, dot);  // xt.1, tr.2: how some programs tell several apart
    if (key == "xt") return read_topic(value, into);
    if (key == "dn" && into.name.empty() && !value.empty()) into.name = sanitise_name(value);
    if (key == "tr" && is_tracker_url(value)) append(into.trackers, value);
    if (key == "ws" && is_web_seed_url(value)) append(into.web_seeds, value);
    if (key == "so") read_selection(value, into.select_only);
    if (key == "x.pe")
        if (auto peer = parse_host_port(value)) append(into.peers, std::move(*peer));
    return success();
}

std::string bracketed(host_port const& at) {
    auto const is_v6 = at.host.find(':') != std::string::npos;
    return (is_v6 ? '[' + at.host + ']' : at.host) + ':' + std::to_string(at.port);
}
}  // namespace

result<magnet> parse_magnet(std::string_view link) {
    if (link.size() > magnet_bytes_max) return errc::input_too_large;
    if (!take_prefix(link, "magnet:?")) return errc::not_a_magnet;
    magnet found;
    while (!link.empty()) {
        auto parameter = take_until(link, '&');
        auto const key = percent_decoded(take_until(parameter, '='));
        auto const value = percent_decoded(parameter);
        if (!key || !value) continue;
        if (auto read = read_parameter(*key, *value, found); !read) return read.error();
    }
    if (!found.info_hash_v1 && !found.info_hash_v2) return errc::no_info_hash;
    return found;
}

std::string to_string(magnet const& link) {
    std::string out = "magnet:";
    auto add = [&out, separator = '?'](std::string_view key, std::string_view value) mutable {
        ((out += separator) += key) += '=';
        out += value;
        separator = '&';
    };
    if (link.info_hash_v1) add("xt", "urn:btih:" + to_hex(link.info_hash_v1->view()));
    if (link.info_hash_v2) add("xt", "urn:btmh:1220" + to_hex(link.info_hash_v2->view()));
    if (!link.name.empty()) add("dn", percent_encoded(link.name));
    for (auto const& tracker : link.trackers) add("tr", percent_encoded(tracker));
    for (auto const& seed : link.web_seeds) add("ws", percent_encoded(seed));
    for (auto const& peer : link.peers) add("x.pe", bracketed(peer));
    std::string selection;
    for (auto const& [first, last] : link.select_only) {
        if (!selection.empty()) selection += ',';
        selection += std::to_string(first);
        if (last != first) selection += '-' + std::to_string(last);
    }
    if (!selection.empty()) add("so", selection);
    return out;
}

magnet magnet_of(torrent const& of) {
    magnet link;
    link.info_hash_v1 = of.info_hash_v1();
    link.info_hash_v2 = of.info_hash_v2();
    link.name = of.name();
    for (auto const& tier : of.trackers())
        for (auto const& url : tier) append(link.trackers, url);
    for (auto const& url : of.web_seeds()) append(link.web_seeds, url);
    return link;
}

result<torrent> torrent_of(magnet const& link, byte_view info, limits const& within) {
    if (link.info_hash_v1 && hash::sha1_of(info) != *link.info_hash_v1) return errc::other_torrent;
    if (link.info_hash_v2 && hash::sha256_of(info) != *link.info_hash_v2)
        return link.info_hash_v1 ? errc::hybrid_mismatch : errc::other_torrent;
    bencode::encoder out;
    out.dictionary();
    if (!link.trackers.empty()) {
        out.key("announce-list").list();
        for (auto const& url : link.trackers) out.list().text(url).end();
        out.end();
    }
    out.key("info").encoded(info);
    if (!link.web_seeds.empty()) {
        out.key("url-list").list();
        for (auto const& url : link.web_seeds) out.text(url);
        out.end();
    }
    auto const whole = out.end().take();
    SHOAL_TRY(auto made, parse_torrent(whole, within));
    // Bytes that close the dictionary early would make another one of what follows.
    if (made.info_bytes().size() != info.size()) return errc::not_a_torrent;
    return made;
}
}  // namespace shoal::metainfo
