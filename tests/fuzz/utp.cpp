#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>
#include "fuzz.hpp"

import shoal.core;
import shoal.utp;

using namespace shoal;

namespace {
/// A peer that has seen what the host sent, so that its numbers are right or nearly so.
struct peer {
    std::uint16_t id = 1;      // of its packets
    std::uint16_t ours = 100;  // the number of its next packet
    std::uint16_t theirs = 0;  // what acknowledges all that the host sent
    std::optional<utp::handle> which;
};

endpoint address_of(std::size_t number) {
    return {ip_address::v4({192, 0, 2, static_cast<std::uint8_t>(number)}), 1000};
}
}  // namespace

/// Peers that send any packets, most of them with ids and numbers that fit, to a host that reads and writes. A byte for
/// what happens and for which of four peers, then what that needs.
extern "C" int LLVMFuzzerTestOneInput(std::uint8_t const* data, std::size_t size) {
    auto const input = size;
    fuzz::heap_watch const heap;
    auto const how = fuzz::take(data, size);
    utp::host_settings settings{.seed = how, .accepts = (how & 1) == 0, .connections_max = 6};
    settings.receive_window = 1U << 16U;
    settings.send_buffer = 1U << 16U;
    settings.buffers_max = how & 2 ? 1U << 16U : 1U << 20U;
    utp::host host{settings};
    std::array<peer, 4> peers;
    time_point now{};
    std::array<std::byte, utp::limits::datagram_max> place{};
    static byte_vector const bytes(4096, std::byte{'x'});
    static byte_vector sink(4096);

    auto const drain = [&] {
        std::size_t sent = 0;
        while (auto const out = host.next_datagram(place, now)) {
            auto const packet = utp::parse(byte_view{place}.first(out->length));
            fuzz::require(packet.has_value(), "the host sends packets");
            fuzz::require(++sent < 20'000, "there is an end to what is sent at once");
            auto& to = peers[std::to_integer<std::size_t>(out->to.address.bytes()[3])];
            if (packet->header.type == utp::packet_type::reset) continue;
            auto const takes = packet->header.type != utp::packet_type::state;
            to.theirs = static_cast<std::uint16_t>(packet->header.seq_nr - (takes ? 0 : 1));
            if (packet->header.type == utp::packet_type::syn) to.id = packet->header.connection_id;
        }
        while (auto const which = host.accept()) {
            for (std::size_t i = 0; i < peers.size(); ++i) {
                if (host.remote(*which) != address_of(i)) continue;
                if (peers[i].which) host.close(*peers[i].which, now);
                peers[i].which = *which;
            }
        }
        while (host.next_changed()) continue;
        fuzz::require(host.size() <= settings.connections_max, "no more connections than may be");
        fuzz::require(host.half_open() <= utp::limits::half_open_max, "no more attempts than may be");
    };

    while (size > 0) {
        auto const what = fuzz::take(data, size);
        auto const number = what & 3U;
        auto& who = peers[number];
        switch (what >> 2U & 7U) {
            case 0: {  // any bytes
                auto const length = std::min<std::size_t>(fuzz::take(data, size), size);
                host.receive(address_of(number), as_bytes(fuzz::text(data, length)), now);
                data += length;
                size -= length;
                break;
            }
            case 1:
            case 2: {  // a packet whose numbers are off by a little
                utp::packet_header header;
                auto const kind = fuzz::take(data, size);
                header.type = static_cast<utp::packet_type>(std::min(kind & 7U, 4U));
                auto const off = [&] { return static_cast<std::int8_t>(fuzz::take(data, size)); };
                header.connection_id = static_cast<std::uint16_t>(who.id + (kind & 8U ? off() : 0));
                header.seq_nr = static_cast<std::uint16_t>(who.ours + (kind & 16U ? off() : 0));
                header.ack_nr = static_cast<std::uint16_t>(who.theirs + (kind & 32U ? off() : 0));
                header.wnd_size = kind & 64U ? fuzz::take(data, size) * 8U : 1U << 20U;
                header.timestamp_microseconds = fuzz::take(data, size) * 0x0101'0101U;
                header.timestamp_difference_microseconds = header.timestamp_microseconds / 7;
                std::size_t const ones = kind & 128U ? fuzz::take(data, size) : 0;
                std::size_t const length = fuzz::take(data, size) * std::size_t{4};
                byte_vector packet(utp::header_length + 2 + 255 + length);
                auto const pattern = byte_vector(ones, static_cast<std::byte>(length | 1U));
                packet.resize(utp::write(header, pattern, 0, packet) + length);
                host.receive(address_of(number), packet, now);
                if (header.type == utp::packet_type::data || header.type == utp::packet_type::fin) ++who.ours;
                if (header.type == utp::packet_type::syn) ++who.id, ++who.ours;
                break;
            }
            case 3: {  // time passes
                now += std::chrono::milliseconds{std::uint64_t{1} << (fuzz::take(data, size) & 15U)};
                for (int i = 0; host.deadline() <= now; ++i) {
                    fuzz::require(i < 100, "a deadline that was kept is not there any more");
                    host.wake(now);
                    drain();
                }
                break;
            }
            case 4:
                if (who.which) {
                    auto const length = fuzz::take(data, size) * std::size_t{16};
                    host.write(*who.which, std::array{byte_view{bytes}.first(length)}, now);
                }
                break;
            case 5:
                if (who.which) {
                    auto const before = host.readable(*who.which);
                    auto const count = host.read(*who.which, std::array{mutable_byte_view{sink}}, now);
                    fuzz::require(count == std::min(before, sink.size()), "what is readable is read");
                }
                break;
            case 6:
                if (who.which) host.close(*who.which, now);
                who.which.reset();
                break;
            default:
                if (auto const made = host.connect(address_of(number), now)) {
                    if (who.which) host.close(*who.which, now);
                    who.which = made.value();
                }
        }
        if ((what & 32U) == 0) drain();
    }
    drain();
    heap.within(input, 64, 4U << 20U);
    // however it stands, what is closed is forgotten
    for (auto& each : peers) {
        if (each.which) host.close(*each.which, now);
        each.which.reset();
    }
    auto const until = now + 2 * utp::limits::closing_max;
    while (host.deadline() < until) {
        now = std::max(now, host.deadline());
        host.wake(now);
        drain();
        for (auto& each : peers) {
            if (each.which) host.close(*each.which, now);
            each.which.reset();
        }
    }
    fuzz::require(host.size() == 0 && host.buffered() == 0, "what is closed is forgotten");
    return 0;
}
