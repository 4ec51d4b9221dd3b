module;
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

module shoal.wire;
import shoal.bencode;
import shoal.core;

namespace shoal::wire {
namespace {
constexpr std::uint8_t flag_seed = 0x02;
constexpr std::uint8_t flag_reachable = 0x10;
constexpr std::size_t port_length = 2;

/// Writes the peers of one address family, and their flags where `with_flags`.
void write(bencode::encoder& out, std::string_view key, std::vector<exchanged_peer> const& peers, bool is_v4,
           std::string_view flags_key = {}) {
    byte_vector places, flags;
    for (auto const& each : peers) {
        if (each.at.address.is_v4() != is_v4) continue;
        auto const address = each.at.address.bytes();
        places.insert(places.end(), address.begin(), address.end());
        places.push_back(static_cast<std::byte>(each.at.port >> 8));
        places.push_back(static_cast<std::byte>(each.at.port & 255));
        flags.push_back(
            static_cast<std::byte>((each.is_seed ? flag_seed : 0) | (each.is_reachable ? flag_reachable : 0)));
    }
    if (places.empty()) return;
    out.entry(key, byte_view{places});
    if (!flags_key.empty()) out.entry(flags_key, byte_view{flags});
}

void read(std::vector<exchanged_peer>& to, bencode::value const& from, std::string_view key, std::size_t address_length,
          std::string_view flags_key = {}) {
    auto const places = from.find_bytes(key).value_or(byte_view{});
    auto const length = address_length + port_length;
    if (places.size() % length != 0) return;
    auto const flags = flags_key.empty() ? byte_view{} : from.find_bytes(flags_key).value_or(byte_view{});
    for (std::size_t i = 0; i * length < places.size() && to.size() < exchanged_max; ++i) {
        auto const place = places.subspan(i * length, length);
        exchanged_peer peer{
            {*ip_address::from(place.first(address_length)), load_be<std::uint16_t>(place.subspan(address_length))}};
        if (i < flags.size()) {
            peer.is_seed = (std::to_integer<std::uint8_t>(flags[i]) & flag_seed) != 0;
            peer.is_reachable = (std::to_integer<std::uint8_t>(flags[i]) & flag_reachable) != 0;
        }
        if (peer.at.port != 0) to.push_back(peer);
    }
}
}  // namespace

byte_vector encode(exchange_message const& from) {
    bencode::encoder out;
    out.dictionary();
    write(out, "added", from.added, true, "added.f");
    write(out, "added6", from.added, false, "added6.f");
    write(out, "dropped", from.dropped, true);
    write(out, "dropped6", from.dropped, false);
    return out.end().take();
}

std::optional<exchange_message> parse_exchange(byte_view payload) {
    auto const read_all = bencode::decode_prefix(payload, bencode::lenient_message);
    if (!read_all || !read_all.value().root().is_dictionary()) return std::nullopt;
    auto const root = read_all.value().root();
    exchange_message message;
    read(message.added, root, "added", 4, "added.f");
    read(message.added, root, "added6", 16, "added6.f");
    read(message.dropped, root, "dropped", 4);
    read(message.dropped, root, "dropped6", 16);
    return message;
}
}  // namespace shoal::wire
