module;
#include <cstddef>
#include <optional>
#include <string>
#include <variant>

module shoal.hub;
import shoal.announce;
import shoal.core;
import shoal.net;
import shoal.registry;
import :service;

namespace shoal::hub {
void service::answer(net::datagram const& packet, time_point now, byte_vector& out) {
    auto const& from = packet.peer;
    if (from.port == 0) return;
    auto const parsed = announce::parse_udp_request(packet.bytes);
    if (!parsed) {
        ++numbers_.malformed;
        return;
    }
    auto const& request = parsed.value();
    if (auto const* const connect = std::get_if<announce::udp_connect>(&request)) {
        if (!is_admitted(unproven_, from.address, now)) return;
        ++numbers_.udp_connects;
        announce::encode_udp_connected(out, {connect->transaction, connections_.make(from, now)});
        return;
    }
    auto const* const asked = std::get_if<announce::udp_announce>(&request);
    auto const* const scraped = std::get_if<announce::udp_scrape>(&request);
    // Silence, and no ban: an error reply would serve a forger, and clients do use old ids (class I9).
    if (!connections_.accepts(asked != nullptr ? asked->connection : scraped->connection, from, now)) {
        ++numbers_.unproven;
        return;
    }
    if (!is_admitted(meter_, from.address, now)) return;
    // A scrape has no place for a passkey (BEP 41 speaks of announces).
    auto const passkey = asked != nullptr ? announce::passkey_of(asked->url_data) : std::nullopt;
    if (!lets_in(room::announces, passkey.value_or(""))) {
        announce::encode_udp_error(out, asked != nullptr ? asked->transaction : scraped->transaction,
                                   announce::not_permitted);
        return;
    }
    if (asked != nullptr)
        answer_announce(*asked, from, now, out);
    else
        answer_scrape(*scraped, out);
}

void service::answer_announce(announce::udp_announce const& asked, endpoint const& from, time_point now,
                              byte_vector& out) {
    ++numbers_.udp_announces;
    auto const reply = announce(asked.request, from, registry::families::own, now);
    log_announce("udp", asked.request, from, reply.peers.size());
    auto const family = from.address.is_v4() ? announce::udp_family::v4 : announce::udp_family::v6;
    announce::encode_udp_announced(out, asked.transaction, reply, family, udp_reply_max);
}

void service::answer_scrape(announce::udp_scrape const& asked, byte_vector& out) {
    if (asked.is_cut) {
        ++numbers_.malformed;
        auto const most = std::to_string(announce::scrape_hashes_max);
        announce::encode_udp_error(out, asked.transaction, "at most " + most + " torrents in one scrape");
        return;
    }
    ++numbers_.udp_scrapes;
    announce::encode_udp_scraped(out, asked.transaction, scrape(asked.torrents).torrents);
}
}  // namespace shoal::hub
