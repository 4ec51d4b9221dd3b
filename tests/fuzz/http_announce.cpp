#include <string>
#include "fuzz.hpp"

import shoal.announce;
import shoal.core;

using namespace shoal;

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    auto const query = fuzz::text(data, size);
    fuzz::heap_watch const heap;
    auto const read = announce::parse_http_query(query);
    (void)announce::parse_scrape_query(query);
    (void)announce::percent_decoded(query);
    (void)announce::passkey_of(query);
    (void)announce::scrape_url(query);
    heap.within(size);
    if (!read) return 0;
    auto const target = announce::announce_target("http://t.example/a", read.value());
    auto const again = announce::parse_http_query(target.substr(target.find('?') + 1));
    fuzz::require(again.has_value(), "a request that was read can be asked");
    fuzz::require(again.value().torrent == read.value().torrent && again.value().left == read.value().left &&
                      again.value().port == read.value().port,
                  "and means the same");
    return 0;
}
