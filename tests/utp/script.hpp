#pragma once
// A host, and a peer that says what the test has it say.
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

import shoal.core;
import shoal.utp;

namespace utp_test {
using namespace shoal;
using namespace std::chrono_literals;
using utp::packet_type;

/// A packet with its bytes.
struct kept_packet {
    endpoint to;
    utp::packet_header header;
    byte_vector selective_ack;
    byte_vector payload;
    std::size_t size = 0;
};

class script {
public:
    explicit script(utp::host_settings settings = {.seed = 1}) : host(settings) {}

    static endpoint peer(std::uint8_t last = 2, std::uint16_t port = 2000) {
        return {ip_address::v4({192, 0, 2, last}), port};
    }

    /// The host gets a packet.
    void say(utp::packet_header header, std::string_view payload = {}, byte_view selective_ack = {}) {
        byte_vector bytes(utp::header_length + 2 + selective_ack.size() + payload.size());
        if (header.timestamp_microseconds == 0) header.timestamp_microseconds = 12345;
        auto const at = utp::write(header, selective_ack, 0, bytes);
        std::ranges::copy(as_bytes(payload), bytes.begin() + static_cast<std::ptrdiff_t>(at));
        bytes.resize(at + payload.size());
        bytes_in += bytes.size();
        host.receive(from, bytes, now);
    }
    /// What the host sends now.
    std::vector<kept_packet> hear() {
        std::vector<kept_packet> all;
        std::array<std::byte, utp::limits::datagram_max> place;
        while (auto const sent = host.next_datagram(place, now)) {
            auto const packet = utp::parse(byte_view{place}.first(sent->length));
            if (!packet) continue;
            bytes_out += sent->length;
            all.push_back({sent->to,
                           packet->header,
                           {packet->selective_ack.begin(), packet->selective_ack.end()},
                           {packet->payload.begin(), packet->payload.end()},
                           sent->length});
        }
        return all;
    }
    /// Time passes, deadlines are kept; what was said in it.
    std::vector<kept_packet> wait(duration time) {
        std::vector<kept_packet> all;
        auto const until = now + time;
        for (;;) {
            for (auto& each : hear()) all.push_back(std::move(each));
            auto const next = host.deadline();
            if (next > until) break;
            now = std::max(now, next);
            host.wake(now);
        }
        now = until;
        return all;
    }

    /// The peer connects with SYN `seq` and proves its address. Its next packet has `seq + 1`.
    utp::handle accepted(std::uint16_t seq) {
        say({.type = packet_type::syn, .connection_id = 100, .wnd_size = 1u << 20, .seq_nr = seq});
        auto const answers = hear();
        theirs = answers.at(0).header.seq_nr;
        ours = static_cast<std::uint16_t>(seq + 1);
        id = 101;
        say({.type = packet_type::state, .connection_id = id, .wnd_size = 1u << 20, .seq_nr = ours, .ack_nr = acked()});
        hear();
        return host.accept().value();
    }
    /// The host connects to the peer, whose first packet will have `seq`.
    utp::handle connected(std::uint16_t seq) {
        auto const which = host.connect(from, now).value();
        auto const syn = hear().at(0).header;
        theirs = static_cast<std::uint16_t>(syn.seq_nr + 1);
        ours = seq;
        id = syn.connection_id;
        say({.type = packet_type::state, .connection_id = id, .wnd_size = 1u << 20, .seq_nr = ours, .ack_nr = acked()});
        hear();
        return which;
    }
    /// What acknowledges all before `theirs`.
    std::uint16_t acked() const { return static_cast<std::uint16_t>(theirs - 1); }
    /// A packet of the peer's with the numbers as they are.
    utp::packet_header next(packet_type type) const {
        return {.type = type, .connection_id = id, .wnd_size = 1u << 20, .seq_nr = ours, .ack_nr = acked()};
    }
    void say_data(std::string_view payload) {
        say(next(packet_type::data), payload);
        ++ours;
    }
    std::string read(utp::handle which) {
        std::array<std::byte, 4096> place;
        std::string all;
        while (auto const count = host.read(which, std::array{mutable_byte_view{place}}, now))
            all += as_text(byte_view{place}.first(count));
        return all;
    }
    std::size_t write(utp::handle which, std::string_view bytes) {
        return host.write(which, std::array{as_bytes(bytes)}, now);
    }

    utp::host host;
    endpoint from = peer();
    time_point now = time_point{} + 1h;
    std::uint16_t id = 0;      // of the peer's packets
    std::uint16_t ours = 0;    // the peer's next number
    std::uint16_t theirs = 0;  // the host's next number
    std::uint64_t bytes_in = 0, bytes_out = 0;
};

/// The first seed whose host begins with a number so near before 65536, when it connects and when it accepts.
inline std::uint64_t seed_near_wrap(bool connects, std::uint16_t near) {
    for (std::uint64_t seed = 1;; ++seed) {
        script with{{.seed = seed}};
        if (connects)
            (void)with.host.connect(with.from, with.now);
        else
            with.say({.type = packet_type::syn, .connection_id = 100, .seq_nr = 1});
        if (with.hear().at(0).header.seq_nr >= 65536 - near) return seed;
    }
}
}  // namespace utp_test
