module;
#include <algorithm>
#include <cstddef>
#include <cstring>
#include <span>

module shoal.announce;
import shoal.core;

namespace shoal::announce {
// Peers are most of what a tracker writes: their room is made once.
void append_compact(byte_vector& out, std::span<endpoint const> peers, udp_family family, std::size_t most) {
    bool const wants_v4 = family == udp_family::v4;
    std::size_t const address_size = wants_v4 ? 4 : 16, entry_size = address_size + 2, begin = out.size();
    out.resize(begin + std::min(most, peers.size()) * entry_size);
    auto place = mutable_byte_view{out}.subspan(begin);
    for (auto const& peer : peers) {
        if (place.empty()) break;
        auto const address = peer.address.bytes();
        if (address.size() != address_size) continue;
        std::memcpy(place.data(), address.data(), address_size);
        store_be(place.subspan(address_size), peer.port);
        place = place.subspan(entry_size);
    }
    out.resize(out.size() - place.size());
}
}  // namespace shoal::announce
