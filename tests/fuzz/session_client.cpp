#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>
#include "fuzz.hpp"

import shoal.core;
import shoal.session;

using namespace shoal;

/// A hub that says anything to a peer of one torrent: messages with their length (two bytes) in front; 0 ends the
/// connection and lets time pass.
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    auto const input = size;
    fuzz::heap_watch const heap;
    time_point now{};
    session::client client{{}, now};
    info_hash torrent;
    torrent.bytes.fill(std::byte{'t'});
    (void)client.join(torrent, 1'000'000, bitfield(16, true), {});
    client.opening();
    client.connected(now);
    for (int count = 0; size > 0 && count < 2000; ++count) {
        while (client.next_message(now)) {}
        auto length = std::size_t{fuzz::take(data, size)} << 8;
        length = std::min(length | fuzz::take(data, size), size);
        bool is_alive = true;
        if (length == 0) {
            is_alive = false;
        } else {
            is_alive = client.received(as_bytes(fuzz::text(data, length)), now).has_value();
            data += length;
            size -= length;
        }
        while (client.next_event()) {}
        now += std::chrono::milliseconds{100};
        if (now >= client.deadline()) is_alive = client.wake(now).has_value() && is_alive;
        if (is_alive) continue;
        client.disconnected(now);
        now += std::chrono::minutes{5};
        if (!client.wants_connection(now)) continue;
        client.opening();
        client.connected(now);
    }
    heap.within(input, 256, 4u << 20);
    return 0;
}
