#include <algorithm>
#include <string>
#include "fuzz.hpp"

import shoal.core;
import shoal.metainfo;

using namespace shoal;

extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    byte_view const input = as_bytes(fuzz::text(data, size));
    {
        fuzz::heap_watch const heap;
        (void)metainfo::parse_info(input);
        heap.within(size);
    }
    fuzz::heap_watch const heap;
    auto const read = metainfo::parse_torrent(input);
    heap.within(size);
    if (!read) return 0;
    auto const& torrent = read.value();
    fuzz::require(torrent.has_v1() || torrent.has_v2(), "it has an info-hash");
    fuzz::require(torrent.pieces().total_size() > 0 && torrent.pieces().piece_count() > 0, "it has content");
    for (auto const& file : torrent.content().files()) {
        fuzz::require(!file.path.empty() || file.pad, "a file has a path");
        for (auto const& name : file.path) {
            fuzz::require(metainfo::sanitise_name(name) == name, "names are sanitised");
            fuzz::require(name != ".." && name.find('/') == std::string::npos, "a name stays in its folder");
        }
    }
    // What peers would send is the same torrent.
    auto link = metainfo::magnet_of(torrent);
    auto const again = metainfo::torrent_of(link, torrent.info_bytes());
    if (again) fuzz::require(again.value().swarm_hash() == torrent.swarm_hash(), "it is the one that was asked for");
    return 0;
}
