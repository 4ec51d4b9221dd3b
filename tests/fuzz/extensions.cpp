#include <optional>
#include "fuzz.hpp"

import shoal.core;
import shoal.wire;

using namespace shoal;

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    byte_view const payload = as_bytes(fuzz::text(data, size));
    fuzz::heap_watch const heap;
    auto const hello = wire::parse_extension_handshake(payload);
    auto const metadata = wire::parse_metadata_message(payload);
    auto const exchanged = wire::parse_exchange(payload);
    (void)wire::parse_ping(payload);
    (void)wire::parse_handshake(payload);
    heap.within(size, 64);
    if (hello) {
        auto const again = wire::parse_extension_handshake(wire::encode(hello.value()));
        fuzz::require(again && again.value() == hello.value(), "a handshake that was read is written the same");
    }
    if (metadata) {
        auto const again = wire::parse_metadata_message(wire::encode(*metadata));
        fuzz::require(again && again->what == metadata->what && again->piece == metadata->piece &&
                          again->data.size() == metadata->data.size(),
                      "a metadata message that was read is written the same");
    }
    if (exchanged) {
        fuzz::require(exchanged->added.size() <= wire::exchanged_max, "peers are counted");
        fuzz::require(wire::parse_exchange(wire::encode(*exchanged)).has_value(), "what was read can be written");
    }
    return 0;
}
