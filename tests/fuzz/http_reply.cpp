#include <chrono>
#include <string>
#include <variant>
#include "fuzz.hpp"

import shoal.announce;
import shoal.core;

using namespace shoal;

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    byte_view const body = as_bytes(fuzz::text(data, size));
    fuzz::heap_watch const heap;
    auto const read = announce::parse_http_reply(body);
    (void)announce::parse_http_scrape_reply(body);
    heap.within(size, 64);
    if (!read) return 0;
    auto const* reply = std::get_if<announce::announce_reply>(&read.value());
    if (reply == nullptr) return 0;
    for (auto const& peer : reply->peers) fuzz::require(peer.port != 0, "a peer has a port");
    fuzz::require(reply->interval >= announce::interval_min, "nobody has us announce all the time");
    return 0;
}
