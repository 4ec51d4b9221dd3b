#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <utility>
#include <variant>
#include <vector>
#include "fuzz.hpp"

import shoal.core;
import shoal.dht;

using namespace shoal;

namespace {
endpoint source(std::uint8_t number, bool is_v6) {
    if (is_v6) return {ip_address::v6({0x20, 1, number, 9}), static_cast<std::uint16_t>(6881 + number)};
    return {ip_address::v4({static_cast<std::uint8_t>(20 + number % 8), number, 1, 7}), 6881};
}
}  // namespace

/// A node among strangers. First byte: the family, and what the node is after. Then datagrams, each with a byte for its
/// source and two for its length in front; a length of 0 lets time pass. One that has bit 7 of its source set answers
/// the last query that went there: the query's transaction id is put in place of its own, where it has one of four
/// bytes.
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    auto const how = fuzz::take(data, size);
    bool const is_v6 = how & 1;
    time_point now{std::chrono::hours{1}};
    fuzz::heap_watch const heap;
    auto const input = size;
    dht::node node{{.key = {how, 2}, .is_v6 = is_v6, .port = 6881}, now};
    if (how & 2) node.find(info_hash{}, how & 4, now);
    if (how & 8) node.set_routers({source(1, is_v6), source(2, is_v6)}, now);
    node.hear_of(source(3, is_v6), now);
    std::array<byte_vector, 128> asked;  // the last query to each source
    for (int datagrams = 0; size > 0 && datagrams < 2000; ++datagrams) {
        std::size_t sent = 0;
        while (auto out = node.next_datagram()) {
            fuzz::require(out->bytes.size() <= 1024, "no datagram is longer than BEP 32 allows");
            fuzz::require(static_cast<bool>(dht::parse(out->bytes)), "what is sent can be read");
            for (std::uint8_t i = 0; i < asked.size(); ++i)
                if (source(i, is_v6) == out->to) asked[i] = out->bytes;
            fuzz::require(++sent < 1000, "one input makes few datagrams");
        }
        while (node.next_event()) {}
        auto const from = fuzz::take(data, size);
        auto const length = std::min<std::size_t>(fuzz::take(data, size) | fuzz::take(data, size) << 8, size);
        if (length == 0) {
            now = std::max(now, std::min(node.deadline(), now + std::chrono::minutes{from}));
            node.wake(now);
        } else {
            byte_vector datagram(length);
            std::ranges::copy(as_bytes(fuzz::text(data, length)), datagram.begin());
            auto const& query = asked[from & 0x7f];
            auto const mark = as_bytes("1:t4:");
            auto const place = std::ranges::search(datagram, mark);
            auto const given = std::ranges::search(query, mark);
            if (from & 0x80 && !place.empty() && !given.empty() && datagram.end() - place.end() >= 4)
                std::copy_n(given.end(), 4, place.end());
            node.receive(source(from & 0x7f, is_v6), datagram, now);
        }
        fuzz::require(node.deadline() > now, "it does not ask to be woken in the past");
        data += length;
        size -= length;
    }
    fuzz::require(node.stored_torrents() <= dht::stored_torrents_max, "the store is bounded");
    dht::node const again{{.key = {1, 1}, .is_v6 = is_v6, .state = node.state()}, now};
    fuzz::require(again.nodes() == 0, "nobody is taken over unasked");
    heap.within(input, 64, 4u << 20);
    return 0;
}
