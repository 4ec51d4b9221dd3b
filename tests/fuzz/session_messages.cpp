#include "fuzz.hpp"

import shoal.core;
import shoal.session;

using namespace shoal;

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    byte_view const message = as_bytes(fuzz::text(data, size));
    fuzz::heap_watch const heap;
    auto const from_peer = session::parse_peer_message(message);
    auto const from_hub = session::parse_hub_message(message);
    heap.within(size, 128);
    if (from_peer)
        fuzz::require(session::parse_peer_message(session::encode(from_peer.value())).has_value(),
                      "what a peer said can be said again");
    if (from_hub)
        fuzz::require(session::parse_hub_message(session::encode(from_hub.value())).has_value(),
                      "what a hub said can be said again");
    return 0;
}
