#include <string>
#include "fuzz.hpp"

import shoal.core;
import shoal.metainfo;

using namespace shoal;

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    fuzz::heap_watch const heap;
    auto const read = metainfo::parse_magnet(fuzz::text(data, size));
    heap.within(size);
    if (!read) return 0;
    auto const again = metainfo::parse_magnet(metainfo::to_string(read.value()));
    fuzz::require(again && again.value() == read.value(), "a link that is written is read back the same");
    return 0;
}
