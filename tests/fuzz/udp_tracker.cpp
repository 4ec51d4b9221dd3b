#include <algorithm>
#include <cstddef>
#include <variant>
#include <vector>
#include "fuzz.hpp"

import shoal.announce;
import shoal.core;

using namespace shoal;

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    byte_view const packet = as_bytes(fuzz::text(data, size));
    fuzz::heap_watch const heap;
    auto const read = announce::parse_udp_request(packet);
    heap.within(size);
    if (!read) return 0;
    byte_vector out;
    std::visit([&out](auto const& request) { announce::encode(out, request); }, read.value());
    auto const again = announce::parse_udp_request(out);
    fuzz::require(again && again.value().index() == read.value().index(), "a request that was read can be written");
    byte_vector twice;
    std::visit([&twice](auto const& request) { announce::encode(twice, request); }, again.value());
    fuzz::require(twice == out, "and is written the same again");
    return 0;
}
