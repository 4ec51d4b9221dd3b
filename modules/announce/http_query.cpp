module;
#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "core/try.hpp"

module shoal.announce;
import shoal.core;

namespace shoal::announce {
namespace {
constexpr std::string_view passkey_name = "passkey";
constexpr std::string_view hex_digits = "0123456789ABCDEF";

bool is_alphanumeric(char c) noexcept {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

bool is_unreserved(char c) noexcept {
    return is_alphanumeric(c) || c == '-' || c == '.' || c == '_' || c == '~';
}
constexpr int no_digit = -1;
constexpr auto hex_values = [] {
    std::array<std::int8_t, 256> values;
    values.fill(no_digit);
    for (std::size_t i = 0; i < 10; ++i) values['0' + i] = static_cast<std::int8_t>(i);
    for (std::size_t i = 0; i < 6; ++i) values['a' + i] = values['A' + i] = static_cast<std::int8_t>(10 + i);
    return values;
}();
int hex_value(char c) noexcept {
    return hex_values[static_cast<std::uint8_t>(c)];
}

/// Calls `take(char)` for each byte that the text stands for.
template <class Take>
result<void> decode(std::string_view text, Take&& take) {
    for (std::size_t at = 0; at < text.size(); ++at) {
        if (text[at] != '%') {
            take(text[at]);
            continue;
        }
        if (text.size() - at < 3) return errc::bad_escape;
        auto const high = hex_value(text[at + 1]);
        auto const low = hex_value(text[at + 2]);
        if (high == no_digit || low == no_digit) return errc::bad_escape;
        take(static_cast<char>(high << 4 | low));
        at += 2;
    }
    return success();
}

std::string_view name_of(event what) noexcept {
    switch (what) {
        case event::started:
            return "started";
        case event::stopped:
            return "stopped";
        case event::completed:
            return "completed";
        case event::paused:
            return "paused";
        case event::none:
            return "";
    }
}
event event_of(std::string_view name) noexcept {
    for (auto const what : {event::started, event::stopped, event::completed, event::paused})
        if (name == name_of(what)) return what;
    return event::none;
}

/// A number of bytes or peers: digits, perhaps after `-`. Beyond 63 bits it counts as `left_unknown`.
struct count {
    bool is_negative;
    std::uint64_t size;
};
result<count> parse_count(std::string_view text) {
    auto const is_negative = text.starts_with('-');
    if (is_negative) text.remove_prefix(1);
    std::uint64_t size = 0;
    auto const [end, error] = std::from_chars(text.data(), text.data() + text.size(), size);
    if (text.empty() || end != text.data() + text.size() || error == std::errc::invalid_argument)
        return errc::bad_number;
    if (error == std::errc::result_out_of_range) size = left_unknown;
    return count{is_negative, std::min(size, left_unknown)};
}

/// Calls `visit(key, raw value)` for each parameter, until one gives an error.
template <class Visit>
result<void> for_each_parameter(std::string_view query, Visit&& visit) {
    while (!query.empty()) {
        auto const end = std::min(query.find('&'), query.size());
        auto const parameter = query.substr(0, end);
        query.remove_prefix(std::min(end + 1, query.size()));
        auto const equals = std::min(parameter.find('='), parameter.size());
        auto const value = parameter.substr(std::min(equals + 1, parameter.size()));
        SHOAL_TRY(visit(parameter.substr(0, equals), value));
    }
    return success();
}

std::string_view without_fragment(std::string_view url) noexcept {
    return url.substr(0, url.find('#'));
}

void append_parameter(std::string& url, std::string_view key, std::string_view encoded) {
    auto const last = url.empty() ? '\0' : url.back();
    if (url.find('?') == std::string::npos)
        url += '?';
    else if (last != '?' && last != '&')
        url += '&';
    url.append(key).append("=").append(encoded);
}

/// The parameters of an announce as they stood, the first of each key.
struct parameters {
    std::optional<std::string_view> info_hash, peer_id, port, uploaded, downloaded, left, event, numwant, key, ip,
        compact, no_peer_id, tracker_id;

    std::optional<std::string_view>* place(std::string_view name);
};
constexpr std::pair<std::string_view, std::optional<std::string_view> parameters::*> places[] = {
    {"info_hash", &parameters::info_hash},
    {"peer_id", &parameters::peer_id},
    {"port", &parameters::port},
    {"uploaded", &parameters::uploaded},
    {"downloaded", &parameters::downloaded},
    {"left", &parameters::left},
    {"event", &parameters::event},
    {"numwant", &parameters::numwant},
    {"key", &parameters::key},
    {"ip", &parameters::ip},
    {"compact", &parameters::compact},
    {"no_peer_id", &parameters::no_peer_id},
    {"trackerid", &parameters::tracker_id}};
std::optional<std::string_view>* parameters::place(std::string_view name) {
    for (auto const& [known, at] : places)
        if (known == name) return &(this->*at);
    return nullptr;
}

template <class Identifier>
result<Identifier> parse_identifier(std::optional<std::string_view> raw, errc otherwise) {
    if (!raw) return otherwise;
    Identifier identifier;
    std::size_t size = 0;
    SHOAL_TRY(decode(*raw, [&](char c) {
        if (size < Identifier::size()) identifier.bytes[size] = static_cast<std::byte>(c);
        ++size;
    }));
    if (size != Identifier::size()) return otherwise;
    return identifier;
}

/// A clamped byte count; what is absent or empty is `otherwise`, what is negative is `if_negative`.
result<std::uint64_t> parse_bytes(std::optional<std::string_view> raw, std::uint64_t otherwise,
                                  std::uint64_t if_negative) {
    if (!raw || raw->empty()) return otherwise;
    SHOAL_TRY(auto const parsed, parse_count(*raw));
    return parsed.is_negative ? if_negative : parsed.size;
}
}  // namespace

std::string percent_encoded(byte_view bytes) {
    std::string out;
    out.reserve(bytes.size() * 3);
    for (auto const c : as_text(bytes)) {
        if (is_unreserved(c)) {
            out += c;
            continue;
        }
        auto const byte = static_cast<std::uint8_t>(c);
        out += '%';
        out += hex_digits[byte >> 4];
        out += hex_digits[byte & 0xf];
    }
    return out;
}

result<std::string> percent_decoded(std::string_view text) {
    std::string out;
    out.reserve(text.size());
    SHOAL_TRY(decode(text, [&](char c) { out += c; }));
    return out;
}

std::optional<std::string> passkey_of(std::string_view url) {
    url = without_fragment(url);
    auto const mark = std::min(url.find('?'), url.size());
    std::optional<std::string> found;
    (void)for_each_parameter(url.substr(std::min(mark + 1, url.size())),
                             [&](std::string_view key, std::string_view value) -> result<void> {
                                 if (key != passkey_name || found) return success();
                                 SHOAL_TRY(found, percent_decoded(value));
                                 return success();
                             });
    return found;
}

bool looks_like_tracker(std::string_view url) {
    auto kept = without_passkey(url);
    if (kept.ends_with('?')) kept.pop_back();
    return kept.ends_with("/announce") && kept.find('?') == std::string::npos;
}

std::string without_passkey(std::string_view url) {
    url = without_fragment(url);
    auto const mark = url.find('?');
    if (mark == std::string_view::npos) return std::string{url};
    std::string kept{url.substr(0, mark)};
    (void)for_each_parameter(url.substr(mark + 1), [&](std::string_view key, std::string_view value) -> result<void> {
        if (key == passkey_name) return success();
        append_parameter(kept, key, value);
        return success();
    });
    return kept;
}

std::string without_secrets(std::string_view url) {
    constexpr std::size_t key_length = 16;
    auto const scheme_end = url.find("://");
    if (scheme_end == std::string_view::npos || !std::ranges::all_of(url.substr(0, scheme_end), is_alphanumeric))
        return without_passkey(url);  // a magnet link, a name
    url = url.substr(0, url.find_first_of("?#"));
    std::string shown{url.substr(0, scheme_end + 3)};
    url.remove_prefix(shown.size());
    auto const host = url.substr(0, url.find('/'));
    shown += host.substr(host.rfind('@') + 1);  // npos + 1 is 0
    url.remove_prefix(host.size());
    while (!url.empty()) {  // at a slash
        auto const end = std::min(url.find('/', 1), url.size());
        auto const part = url.substr(1, end - 1);
        bool const is_key = part.size() >= key_length && std::ranges::all_of(part, is_alphanumeric);
        shown += is_key ? "/***" : url.substr(0, end);
        url.remove_prefix(end);
    }
    return shown;
}

std::string with_passkey_of(std::string_view from, std::string url) {
    if (auto const key = passkey_of(from)) append_parameter(url, passkey_name, percent_encoded(as_bytes(*key)));
    return url;
}

std::string announce_target(std::string_view announce_url, announce_request const& request) {
    std::string url{without_fragment(announce_url)};
    url.reserve(url.size() + 320);
    append_parameter(url, "info_hash", percent_encoded(request.torrent.view()));
    append_parameter(url, "peer_id", percent_encoded(request.peer.view()));
    append_parameter(url, "port", std::to_string(request.port));
    append_parameter(url, "uploaded", std::to_string(request.uploaded));
    append_parameter(url, "downloaded", std::to_string(request.downloaded));
    append_parameter(url, "left", std::to_string(std::min(request.left, left_unknown)));
    append_parameter(url, "compact", request.is_compact ? "1" : "0");
    if (request.no_peer_id) append_parameter(url, "no_peer_id", "1");
    if (auto const name = name_of(request.what); !name.empty()) append_parameter(url, "event", name);
    if (request.peers_wanted) append_parameter(url, "numwant", std::to_string(*request.peers_wanted));
    std::array<std::byte, 4> key{};
    store_be(mutable_byte_view{key}, request.key);
    if (request.key != 0) append_parameter(url, "key", to_hex(key));
    if (request.ip) append_parameter(url, "ip", percent_encoded(as_bytes(request.ip->to_string())));
    if (!request.tracker_id.empty()) append_parameter(url, "trackerid", percent_encoded(as_bytes(request.tracker_id)));
    return url;
}

std::optional<std::string> scrape_url(std::string_view announce_url) {
    constexpr std::string_view announce = "announce";
    announce_url = without_fragment(announce_url);
    auto const path = announce_url.substr(0, announce_url.find('?'));
    auto const scheme = path.find("://");
    auto const slash = path.rfind('/');
    if (slash == std::string_view::npos || (scheme != std::string_view::npos && slash < scheme + 3))
        return std::nullopt;
    if (!path.substr(slash + 1).starts_with(announce)) return std::nullopt;
    std::string url{announce_url};
    return url.replace(slash + 1, announce.size(), "scrape");
}

std::optional<std::string> scrape_target(std::string_view announce_url, std::span<info_hash const> torrents) {
    auto url = scrape_url(announce_url);
    if (!url) return url;
    for (auto const& torrent : torrents) append_parameter(*url, "info_hash", percent_encoded(torrent.view()));
    return url;
}

result<announce_request> parse_http_query(std::string_view raw_query) {
    if (raw_query.size() > query_bytes_max) return errc::too_long;
    parameters given;
    SHOAL_TRY(for_each_parameter(raw_query, [&](std::string_view key, std::string_view value) -> result<void> {
        if (auto* const place = given.place(key); place != nullptr && !*place) *place = value;
        return success();
    }));

    announce_request request;
    SHOAL_TRY(request.torrent, parse_identifier<info_hash>(given.info_hash, errc::bad_info_hash));
    SHOAL_TRY(request.peer, parse_identifier<peer_id>(given.peer_id, errc::bad_peer_id));
    auto const port = given.port ? parse_count(*given.port) : result<count>{errc::bad_port};
    if (!port || port.value().is_negative || port.value().size > 65'535) return errc::bad_port;
    request.port = static_cast<std::uint16_t>(port.value().size);
    SHOAL_TRY(request.uploaded, parse_bytes(given.uploaded, 0, 0));
    SHOAL_TRY(request.downloaded, parse_bytes(given.downloaded, 0, 0));
    SHOAL_TRY(request.left, parse_bytes(given.left, left_unknown, left_unknown));
    request.what = event_of(given.event.value_or(""));
    if (given.numwant && !given.numwant->empty()) {
        SHOAL_TRY(auto const wanted, parse_count(*given.numwant));
        if (!wanted.is_negative)
            request.peers_wanted = static_cast<std::uint32_t>(std::min<std::uint64_t>(wanted.size, 0xffff));
    }
    if (given.key) {
        auto const& key = *given.key;
        std::uint32_t number = 0;
        if (std::from_chars(key.data(), key.data() + key.size(), number, 16).ec == std::errc{}) request.key = number;
    }
    if (given.ip) {
        SHOAL_TRY(auto const decoded, percent_decoded(*given.ip));
        request.ip = ip_address::parse(decoded);
    }
    request.is_compact = given.compact != "0";
    request.no_peer_id = given.no_peer_id.value_or("0") != "0";
    if (given.tracker_id) {
        SHOAL_TRY(auto const decoded, percent_decoded(*given.tracker_id));
        if (decoded.size() <= tracker_id_max) request.tracker_id = decoded;
    }
    return request;
}

result<std::vector<info_hash>> parse_scrape_query(std::string_view raw_query) {
    if (raw_query.size() > query_bytes_max) return errc::too_long;
    std::vector<info_hash> torrents;
    SHOAL_TRY(for_each_parameter(raw_query, [&](std::string_view key, std::string_view value) -> result<void> {
        if (key != "info_hash") return success();
        if (torrents.size() == scrape_hashes_max) return errc::too_many_hashes;
        SHOAL_TRY(auto const torrent, parse_identifier<info_hash>(value, errc::bad_info_hash));
        torrents.push_back(torrent);
        return success();
    }));
    return torrents;
}
}  // namespace shoal::announce
