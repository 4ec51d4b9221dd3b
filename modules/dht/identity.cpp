module;
#include <algorithm>
#include <array>
#include <bit>
#include <boost/crc.hpp>
#include <cstddef>
#include <cstdint>

module shoal.dht;
import shoal.core;

namespace shoal::dht {
namespace {
/// The checksum that the id of somebody at `address` begins with; `seed` is the id's last byte. Source: BEP 42.
std::uint32_t checksum_of(ip_address const& address, std::byte seed) noexcept {
    constexpr std::array<std::uint8_t, 4> mask_v4{0x03, 0x0f, 0x3f, 0xff};
    constexpr std::array<std::uint8_t, 8> mask_v6{0x01, 0x03, 0x07, 0x0f, 0x1f, 0x3f, 0x7f, 0xff};
    std::array<std::uint8_t, 8> masked{};
    bool const is_v4 = address.is_v4();
    std::size_t const length = is_v4 ? mask_v4.size() : mask_v6.size();
    for (std::size_t i = 0; i < length; ++i)
        masked[i] = static_cast<std::uint8_t>(std::to_integer<unsigned>(address.bytes()[i]) &
                                              (is_v4 ? mask_v4[i] : mask_v6[i]));
    masked[0] = static_cast<std::uint8_t>(masked[0] | ((std::to_integer<unsigned>(seed) & 7u) << 5));
    boost::crc_optimal<32, 0x1EDC6F41, 0xFFFFFFFF, 0xFFFFFFFF, true, true> crc;  // Castagnoli
    crc.process_bytes(masked.data(), length);
    return static_cast<std::uint32_t>(crc.checksum());
}
constexpr std::byte third_byte_tied{0xf8};  // 21 bits are tied
}  // namespace

node_id place_of(info_hash const& torrent) noexcept {
    return node_id{torrent.bytes};
}

bool is_nearer(node_id const& target, node_id const& a, node_id const& b) noexcept {
    for (std::size_t i = 0; i < node_id::size(); ++i) {
        auto const from_a = a.bytes[i] ^ target.bytes[i], from_b = b.bytes[i] ^ target.bytes[i];
        if (from_a != from_b) return from_a < from_b;
    }
    return false;
}

std::size_t common_prefix(node_id const& a, node_id const& b) noexcept {
    for (std::size_t i = 0; i < node_id::size(); ++i)
        if (auto const differs = std::to_integer<std::uint8_t>(a.bytes[i] ^ b.bytes[i]); differs != 0)
            return i * 8 + static_cast<std::size_t>(std::countl_zero(differs));
    return node_id::size() * 8;
}

void tie_to(node_id& id, ip_address const& address) noexcept {
    auto const sum = checksum_of(address, id.bytes[19]);
    id.bytes[0] = static_cast<std::byte>(sum >> 24);
    id.bytes[1] = static_cast<std::byte>(sum >> 16 & 0xff);
    id.bytes[2] = (static_cast<std::byte>(sum >> 8 & 0xff) & third_byte_tied) | (id.bytes[2] & ~third_byte_tied);
}

bool is_tied(node_id const& id, ip_address const& address) noexcept {
    if (address.is_local()) return true;
    auto tied = id;
    tie_to(tied, address);
    return tied == id;
}

ip_address network_of(ip_address const& address) noexcept {
    auto const bytes = address.bytes();
    auto const octet = [&](std::size_t i) { return std::to_integer<std::uint8_t>(bytes[i]); };
    if (address.is_v4()) return ip_address::v4({octet(0), octet(1), octet(2), 0});
    return ip_address::v6({octet(0), octet(1), octet(2), octet(3), octet(4), octet(5)});
}

bool means_the_same(ip_address const& address, ip_address const& there) noexcept {
    return (!address.is_local() || there.is_local()) && (!address.is_loopback() || there.is_loopback());
}

bool is_usable(endpoint const& at) noexcept {
    if (at.port == 0 || at.address.is_unspecified() || at.address.is_multicast()) return false;
    auto const first = std::to_integer<unsigned>(at.address.bytes()[0]);
    return !at.address.is_v4() || (first != 0 && first < 240);  // "this network", and what was never given out
}

std::uint64_t keyed_random::next() noexcept {
    std::array<std::byte, 8> counter;
    store_be(mutable_byte_view{counter}, ++count_);
    return siphash(key_, counter);
}

node_id keyed_random::id() noexcept {
    std::array<std::byte, 24> drawn;
    for (std::size_t i = 0; i < drawn.size(); i += 8) store_be(mutable_byte_view{drawn}.subspan(i), next());
    node_id made;
    std::copy_n(drawn.begin(), node_id::size(), made.bytes.begin());
    return made;
}
}  // namespace shoal::dht
