#include <algorithm>
#include <chrono>
#include <utility>
#include <variant>
#include <vector>
#include "fuzz.hpp"

import shoal.announce;
import shoal.core;

using namespace shoal;

/// A tracker that answers what it likes: first byte the family, then packets with their length in front; a length of 0
/// lets time pass. An answer may have the transaction that was asked with put in.
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    auto const how = fuzz::take(data, size);
    announce::udp_client client{how, how & 1 ? announce::udp_family::v6 : announce::udp_family::v4};
    time_point now{};
    fuzz::heap_watch const heap;
    auto const input = size;
    if (how & 2)
        client.scrape({info_hash{}, info_hash{}}, now);
    else
        client.announce({}, "/announce?passkey=x", now);
    byte_vector last;
    for (int packets = 0; size > 0 && packets < 1000; ++packets) {
        while (auto packet = client.next_packet()) last = std::move(*packet);
        auto const length = std::min<std::size_t>(fuzz::take(data, size), size);
        if (length == 0) {
            now = std::max(now, std::min(client.deadline(), now + std::chrono::hours{1}));
            client.wake(now);
        } else {
            byte_vector packet(length);
            std::ranges::copy(as_bytes(fuzz::text(data, length)), packet.begin());
            if (how & 4 && last.size() >= 16 && length >= 8)
                std::copy(last.begin() + 12, last.begin() + 16, packet.begin() + 4);
            client.receive(packet, now);
        }
        data += length;
        size -= length;
        if (auto const outcome = client.take_outcome()) {
            fuzz::require(!client.take_outcome(), "an outcome is told once");
            client.announce({}, {}, now);
        }
    }
    heap.within(input, 64);
    return 0;
}
