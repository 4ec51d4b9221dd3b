#include <algorithm>
#include <array>
#include <chrono>
#include <string>
#include <vector>
#include "fuzz.hpp"

import shoal.announce;
import shoal.core;

using namespace shoal;

/// Neighbours who multicast what they like: first byte how, then datagrams with two bytes of length in front; one of
/// length 0 lets time pass.
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    auto const how = fuzz::take(data, size);
    auto const group = how & 1 ? announce::local_group_v6() : announce::local_group_v4();
    std::array<ip_address, 4> const sources{ip_address::v4({10, 0, 0, 1}), ip_address::v4({127, 0, 0, 1}),
                                            *ip_address::parse("fd00::1"), ip_address::v4({8, 8, 8, 8})};
    fuzz::heap_watch const heap;
    auto const input = size;
    time_point now{};
    announce::local_discovery ours{group, static_cast<std::uint16_t>(how & 2 ? 0 : 6881), 7};
    info_hash torrent;
    for (int i = 0; i < 40; ++i) {
        torrent.bytes.back() = static_cast<std::byte>(i);
        ours.add(torrent, now);
    }
    for (int datagrams = 0; size > 0 && datagrams < 1000; ++datagrams) {
        auto const high = fuzz::take(data, size);
        auto const length = std::min<std::size_t>(high * 256u + fuzz::take(data, size), size);
        byte_view const datagram = as_bytes(fuzz::text(data, length));
        data += length;
        size -= length;
        if (length == 0) now = std::max(now, std::min(ours.deadline(), now + std::chrono::hours{1}));
        auto const& source = sources[(how >> 2) % sources.size()];
        if (auto const read = announce::parse_local_announce(datagram)) {
            auto const& value = read.value();
            fuzz::require(value.port != 0 && !value.torrents.empty() &&
                              value.torrents.size() <= announce::local_torrents_max &&
                              value.cookie.size() <= announce::local_cookie_max,
                          "what was read keeps the limits");
            auto const sent = announce::encode(value, group);
            auto const again = announce::parse_local_announce(as_bytes(sent));
            fuzz::require(
                again && again.value().port == value.port &&
                    std::equal(again.value().torrents.begin(), again.value().torrents.end(), value.torrents.begin()),
                "what was read can be said again");
        }
        for (auto const& peer : ours.receive(datagram, {source, 6771}, now))
            fuzz::require(peer.at == endpoint{source, peer.at.port} && peer.at.port != 0,
                          "a peer is who sent the datagram, at a port that can be reached");
        for (int sent = 0; auto const out = ours.next_datagram(now); ++sent) {
            fuzz::require(sent < 2 && out->size() <= announce::local_announce_bytes_max,
                          "40 torrents need two datagrams");
            auto const read = announce::parse_local_announce(as_bytes(*out));
            fuzz::require(read && read.value().port == 6881, "what is sent can be read");
            fuzz::require(ours.receive(as_bytes(*out), {sources[1], 6771}, now).empty(),
                          "our own is known by its cookie");
        }
        fuzz::require(ours.deadline() > now, "what is due was sent");
    }
    heap.within(input, 64);
    return 0;
}
