module;
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

module shoal.announce;
import shoal.core;

namespace shoal::announce {
namespace {
constexpr std::size_t announced_header_size = 20;
constexpr std::uint32_t peers_wanted_any = 0xffff'ffff;

// BEP 41.
constexpr std::uint8_t option_end = 0;
constexpr std::uint8_t option_nothing = 1;
constexpr std::uint8_t option_url_data = 2;
constexpr std::size_t option_data_max = 255;

std::uint32_t number_of(event what) noexcept {
    switch (what) {
        case event::completed:
            return 1;
        case event::started:
            return 2;
        case event::stopped:
            return 3;
        case event::none:
        case event::paused:
            break;  // BEP 21 has no number for it
    }
    return 0;
}
event event_of(std::uint32_t number) noexcept {
    switch (number) {
        case 1:
            return event::completed;
        case 2:
            return event::started;
        case 3:
            return event::stopped;
        default:
            return event::none;
    }
}

/// Byte counts are signed on the wire; what is negative becomes `otherwise`.
std::uint64_t byte_count(std::uint64_t wire, std::uint64_t otherwise) noexcept {
    return wire > left_unknown ? otherwise : wire;
}

std::string parse_url_data(byte_reader options) {
    std::string url_data;
    while (auto const kind = options.take_be<std::uint8_t>()) {
        if (*kind == option_end) break;
        if (*kind == option_nothing) continue;
        auto const length = options.take_be<std::uint8_t>();
        auto const data = length ? options.take(*length) : std::nullopt;
        if (!data) break;
        if (*kind == option_url_data) url_data.append(as_text(*data));
        if (url_data.size() > url_data_max) url_data.resize(url_data_max);
    }
    return url_data;
}

udp_announce parse_announce(std::uint64_t connection, std::uint32_t transaction, byte_view body) {
    byte_reader in{body};
    auto const number = [&] { return in.take_be<std::uint32_t>().value_or(0); };
    auto const large = [&] { return in.take_be<std::uint64_t>().value_or(0); };
    udp_announce announce{connection, transaction, {}, {}};
    auto& request = announce.request;
    request.torrent = *info_hash::from(*in.take(info_hash::size()));
    request.peer = *peer_id::from(*in.take(peer_id::size()));
    request.downloaded = byte_count(large(), 0);
    request.left = byte_count(large(), left_unknown);
    request.uploaded = byte_count(large(), 0);
    request.what = event_of(number());
    auto const ip = *in.take(4);
    if (auto const address = ip_address::from(ip); !address->is_unspecified()) request.ip = address;
    request.key = number();
    // Beyond 31 bits it is negative: as many as the tracker likes.
    if (auto const wanted = number(); wanted <= std::numeric_limits<std::int32_t>::max()) request.peers_wanted = wanted;
    request.port = in.take_be<std::uint16_t>().value_or(0);
    announce.url_data = parse_url_data(byte_reader{in.rest()});
    return announce;
}

udp_scrape parse_scrape(std::uint64_t connection, std::uint32_t transaction, byte_view names) {
    udp_scrape scrape{connection, transaction, {}, false};
    for (; names.size() >= info_hash::size(); names = names.subspan(info_hash::size())) {
        scrape.is_cut = scrape.torrents.size() == scrape_hashes_max;
        if (scrape.is_cut) break;
        scrape.torrents.push_back(*info_hash::from(names.first(info_hash::size())));
    }
    return scrape;
}

byte_writer begin(byte_vector& out, udp_action action, std::uint32_t transaction) {
    byte_writer writer{out};
    writer.be(static_cast<std::uint32_t>(action)).be(transaction);
    return writer;
}
std::size_t entry_size(udp_family family) noexcept {
    return family == udp_family::v4 ? 4 + 2 : 16 + 2;
}
}  // namespace

result<udp_request> parse_udp_request(byte_view packet) {
    byte_reader in{packet};
    auto const connection = in.take_be<std::uint64_t>();
    auto const action = in.take_be<std::uint32_t>();
    auto const transaction = in.take_be<std::uint32_t>();
    if (!connection || !action || !transaction) return errc::truncated;
    switch (static_cast<udp_action>(*action)) {
        case udp_action::connect:
            if (*connection != udp_protocol_id) return errc::unknown_action;
            return udp_connect{*transaction};
        case udp_action::announce:
            if (packet.size() < udp_announce_size) return errc::truncated;
            return parse_announce(*connection, *transaction, in.rest());
        case udp_action::scrape:
            if (in.rest().size() < info_hash::size()) return errc::truncated;
            return parse_scrape(*connection, *transaction, in.rest());
        case udp_action::error:
            break;
    }
    return errc::unknown_action;
}

void encode(byte_vector& out, udp_connect const& request) {
    byte_writer{out}.be(udp_protocol_id);
    begin(out, udp_action::connect, request.transaction);
}

void encode(byte_vector& out, udp_announce const& announce) {
    byte_writer{out}.be(announce.connection);
    auto writer = begin(out, udp_action::announce, announce.transaction);
    auto const& request = announce.request;
    writer.bytes(request.torrent.view()).bytes(request.peer.view());
    writer.be(request.downloaded).be(std::min(request.left, left_unknown)).be(request.uploaded);
    writer.be(number_of(request.what));
    if (request.ip && request.ip->is_v4())
        writer.bytes(request.ip->bytes());
    else
        writer.be(std::uint32_t{0});
    writer.be(request.key).be(request.peers_wanted.value_or(peers_wanted_any)).be(request.port);
    std::string_view url_data = announce.url_data;
    for (url_data = url_data.substr(0, url_data_max); !url_data.empty();) {
        auto const part = url_data.substr(0, option_data_max);
        writer.be(option_url_data).be(static_cast<std::uint8_t>(part.size())).text(part);
        url_data.remove_prefix(part.size());
    }
}

void encode(byte_vector& out, udp_scrape const& request) {
    byte_writer{out}.be(request.connection);
    auto writer = begin(out, udp_action::scrape, request.transaction);
    auto const count = std::min(request.torrents.size(), scrape_hashes_max);
    for (std::size_t i = 0; i < count; ++i) writer.bytes(request.torrents[i].view());
}

namespace {
result<udp_reply> parse_announced(std::uint32_t transaction, byte_reader in, udp_family family) {
    auto const interval = in.take_be<std::uint32_t>();
    auto const leechers = in.take_be<std::uint32_t>();
    auto const seeders = in.take_be<std::uint32_t>();
    if (!interval || !leechers || !seeders) return errc::truncated;
    udp_announced announced{transaction, {}};
    auto& reply = announced.reply;
    reply.interval = std::clamp(std::chrono::seconds{*interval}, interval_min, interval_max);
    reply.leechers = *leechers;
    reply.seeders = *seeders;
    auto const size = entry_size(family);
    auto peers = in.rest();
    if (peers.size() % size != 0) return errc::bad_peers;
    for (; !peers.empty() && reply.peers.size() < reply_peers_max; peers = peers.subspan(size)) {
        endpoint const at{*ip_address::from(peers.first(size - 2)), load_be<std::uint16_t>(peers.subspan(size - 2))};
        if (at.port != 0 && !at.address.is_unspecified() && !at.address.is_multicast()) reply.peers.push_back(at);
    }
    return announced;
}

result<udp_reply> parse_scraped(std::uint32_t transaction, byte_reader in) {
    udp_scraped scraped{transaction, {}};
    while (scraped.torrents.size() < scrape_hashes_max && !in.rest().empty()) {
        auto const seeders = in.take_be<std::uint32_t>();
        auto const downloaded = in.take_be<std::uint32_t>();
        auto const leechers = in.take_be<std::uint32_t>();
        if (!seeders || !downloaded || !leechers) return errc::truncated;
        scraped.torrents.push_back({{}, *seeders, *leechers, *downloaded});
    }
    return scraped;
}
}  // namespace

result<udp_reply> parse_udp_reply(byte_view packet, udp_family family) {
    byte_reader in{packet};
    auto const action = in.take_be<std::uint32_t>();
    auto const transaction = in.take_be<std::uint32_t>();
    if (!action || !transaction) return errc::truncated;
    switch (static_cast<udp_action>(*action)) {
        case udp_action::connect: {
            auto const connection = in.take_be<std::uint64_t>();
            if (!connection) return errc::truncated;
            return udp_connected{*transaction, *connection};
        }
        case udp_action::announce:
            return parse_announced(*transaction, in, family);
        case udp_action::scrape:
            return parse_scraped(*transaction, in);
        case udp_action::error:
            return udp_error{*transaction, std::string{as_text(in.rest()).substr(0, reply_text_max)}};
    }
    return errc::unknown_action;
}

void encode_udp_connected(byte_vector& out, udp_connected const& reply) {
    begin(out, udp_action::connect, reply.transaction).be(reply.connection);
}

void encode_udp_announced(byte_vector& out, std::uint32_t transaction, announce_reply const& reply, udp_family family,
                          std::size_t bytes_max) {
    auto writer = begin(out, udp_action::announce, transaction);
    writer.be(static_cast<std::uint32_t>(reply.interval.count()));
    writer.be(reply.leechers.value_or(0)).be(reply.seeders.value_or(0));
    auto const room = (bytes_max - std::min(bytes_max, announced_header_size)) / entry_size(family);
    append_compact(out, reply.peers, family, room);
}

void encode_udp_scraped(byte_vector& out, std::uint32_t transaction, std::span<scrape_entry const> torrents) {
    auto writer = begin(out, udp_action::scrape, transaction);
    for (auto const& torrent : torrents) writer.be(torrent.seeders).be(torrent.downloaded).be(torrent.leechers);
}

void encode_udp_error(byte_vector& out, std::uint32_t transaction, std::string_view message) {
    begin(out, udp_action::error, transaction).text(message);
}
}  // namespace shoal::announce
