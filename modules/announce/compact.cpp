module;
#include <algorithm>
#include <cstddef>
#include <cstring>
#include <span>

module shoal.announce;
import shoal.core;

namespace shoal::announce {
namespace {
// Peers are most of what a tracker writes: their room is made once, and where their size is known each takes a few
// instructions.
template <std::size_t AddressSize>
void append_of(byte_vector& out, std::span<endpoint const> peers, std::size_t most) {
    constexpr auto entry_size = AddressSize + 2;
    auto const begin = out.size();
    out.resize(begin + std::min(most, peers.size()) * entry_size);
    auto* place = out.data() + begin;
    auto const* const end = out.data() + out.size();
    for (auto const& peer : peers) {
        if (place == end) break;
        auto const address = peer.address.bytes();
        if (address.size() != AddressSize) continue;
        std::memcpy(place, address.data(), AddressSize);
        store_be(mutable_byte_view{place + AddressSize, 2}, peer.port);
        place += entry_size;
    }
    out.resize(out.size() - static_cast<std::size_t>(end - place));
}
}  // namespace

void append_compact(byte_vector& out, std::span<endpoint const> peers, udp_family family, std::size_t most) {
    if (family == udp_family::v4)
        append_of<4>(out, peers, most);
    else
        append_of<16>(out, peers, most);
}
}  // namespace shoal::announce
