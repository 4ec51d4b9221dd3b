module;
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

module shoal.utp;
import shoal.core;

namespace shoal::utp {
namespace {
constexpr unsigned version = 1;
constexpr std::uint8_t no_extension = 0;
constexpr std::uint8_t selective_ack_extension = 1;
/// No number that anybody gave a meaning (libutp has 2, libtorrent 3).
constexpr std::uint8_t padding_extension = 0x55;
constexpr std::size_t extension_header = 2;
constexpr std::size_t extension_max = 255;

/// The bodies of padding extensions that, with their headers, fill `bytes`: as few as possible, none of them too long.
std::size_t padding_bodies(std::size_t bytes) {
    return (bytes + extension_max + extension_header - 1) / (extension_max + extension_header);
}
}  // namespace

bool is_packet(byte_view datagram) noexcept {
    if (datagram.size() < header_length) return false;
    auto const first = std::to_integer<unsigned>(datagram[0]);
    return (first & 0x0fU) == version && first >> 4U <= static_cast<unsigned>(packet_type::syn);
}

std::optional<packet> parse(byte_view datagram) noexcept {
    if (!is_packet(datagram)) return std::nullopt;
    packet result;
    auto& header = result.header;
    header.type = static_cast<packet_type>(std::to_integer<unsigned>(datagram[0]) >> 4U);
    header.connection_id = load_be<std::uint16_t>(datagram.subspan(2));
    header.timestamp_microseconds = load_be<std::uint32_t>(datagram.subspan(4));
    header.timestamp_difference_microseconds = load_be<std::uint32_t>(datagram.subspan(8));
    header.wnd_size = load_be<std::uint32_t>(datagram.subspan(12));
    header.seq_nr = load_be<std::uint16_t>(datagram.subspan(16));
    header.ack_nr = load_be<std::uint16_t>(datagram.subspan(18));

    byte_reader reader{datagram.subspan(header_length)};
    auto extension = std::to_integer<std::uint8_t>(datagram[1]);
    while (extension != no_extension) {
        auto const next = reader.take_be<std::uint8_t>();
        auto const length = reader.take_be<std::uint8_t>();
        if (!next || !length) return std::nullopt;
        auto const body = reader.take(*length);
        if (!body) return std::nullopt;
        if (extension == selective_ack_extension && result.selective_ack.empty()) result.selective_ack = *body;
        extension = *next;
    }
    result.payload = reader.rest();
    return result;
}

std::size_t write(packet_header const& header, byte_view selective_ack, std::size_t padded_to,
                  mutable_byte_view place) {
    auto const bare = header_length + (selective_ack.empty() ? 0 : extension_header + selective_ack.size());
    auto padding = padded_to > bare + 1 ? padded_to - bare : 0;
    auto const first_padding = padding == 0 ? no_extension : padding_extension;

    place[0] = static_cast<std::byte>(static_cast<unsigned>(header.type) << 4U | version);
    place[1] = std::byte{selective_ack.empty() ? first_padding : selective_ack_extension};
    store_be(place.subspan(2), header.connection_id);
    store_be(place.subspan(4), header.timestamp_microseconds);
    store_be(place.subspan(8), header.timestamp_difference_microseconds);
    store_be(place.subspan(12), header.wnd_size);
    store_be(place.subspan(16), header.seq_nr);
    store_be(place.subspan(18), header.ack_nr);
    auto at = header_length;
    if (!selective_ack.empty()) {
        place[at++] = std::byte{first_padding};
        place[at++] = static_cast<std::byte>(selective_ack.size());
        std::ranges::copy(selective_ack, place.begin() + static_cast<std::ptrdiff_t>(at));
        at += selective_ack.size();
    }
    while (padding > 0) {
        auto const bodies = padding_bodies(padding);
        auto const body = padding / bodies - extension_header;
        place[at++] = std::byte{bodies > 1 ? padding_extension : no_extension};
        place[at++] = static_cast<std::byte>(body);
        std::ranges::fill(place.subspan(at, body), std::byte{0});
        at += body;
        padding -= body + extension_header;
    }
    return at;
}
}  // namespace shoal::utp
