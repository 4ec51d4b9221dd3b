#pragma once
// Two hosts with a link between them, whose weather is drawn from a seed. Include it below includes, above imports of
// the test; it imports what it needs.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <memory>
#include <optional>
#include <queue>
#include <random>
#include <span>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

import shoal.core;
import shoal.utp;

namespace utp_test {
using namespace shoal;
using namespace std::chrono_literals;

/// What happens to datagrams on their way, each way alike. Corruption is what the checksum of UDP makes of it: loss.
struct weather {
    double loss = 0;
    double loss_of_large = 0;  ///< Of datagrams that not every path carries.
    double reorder = 0;        ///< Share that is delayed by `reorder_by` besides.
    duration reorder_by = 15ms;
    double duplicate = 0;
    duration delay = 10ms;           ///< One way.
    duration jitter = 0ms;           ///< At most, on top.
    std::size_t mtu = 1500;          ///< Of IPv4.
    double bytes_per_second = 0;     ///< 0: as fast as you like.
    std::size_t queue = 256 * 1024;  ///< Bytes in front of the bottleneck; more are dropped.
    duration blackout_from = 0ms, blackout_to = 0ms;
};

constexpr time_point begin = time_point{} + 1h;
constexpr std::size_t ip_and_udp = 28;

inline endpoint address_of(unsigned side) {
    return {ip_address::v4({10, 0, 0, static_cast<std::uint8_t>(side + 1)}), static_cast<std::uint16_t>(1000 + side)};
}

/// The byte at an offset of a stream that a seed names.
inline std::byte content(std::uint64_t seed, std::uint64_t offset) {
    auto x = (offset / 8 + 1) * 0x9e37'79b9'7f4a'7c15U ^ seed * 0xbf58'476d'1ce4'e5b9U;
    x ^= x >> 29U;
    x *= 0x94d0'49bb'1331'11ebU;
    return static_cast<std::byte>(x >> (offset % 8 * 8));
}

class simulated_link {
public:
    simulated_link(std::uint64_t seed, weather how, utp::host_settings settings = {}) : sky(how), random_(seed) {
        for (unsigned side = 0; side < 2; ++side) {
            settings.seed = seed * 2 + side;
            hosts[side] = std::make_unique<utp::host>(settings);
        }
    }

    utp::host& a() { return *hosts[0]; }
    utp::host& b() { return *hosts[1]; }

    /// Both hosts' datagrams go on their way.
    void pump() {
        std::array<std::byte, utp::limits::datagram_max> place;
        for (unsigned side = 0; side < 2; ++side) {
            while (auto const sent = hosts[side]->next_datagram(place, now)) {
                if (sent->to != address_of(1 - side)) continue;
                auto const bytes_of_it = byte_view{place}.first(sent->length);
                carry(side, bytes_of_it);
                if (!tamper) continue;
                for (auto const& more : tamper(side, bytes_of_it)) carry(side, more);
            }
        }
    }
    /// On to what happens next, at `until` at the latest. False when nothing is left before that.
    bool step(time_point until) {
        pump();
        auto next = until;
        for (auto const& host : hosts) next = std::min(next, host->deadline());
        if (!on_way_.empty()) next = std::min(next, on_way_.top().when);
        if (next >= until) {
            now = std::max(now, until);
            return false;
        }
        now = std::max(now, next);
        for (auto const& host : hosts) {
            if (host->deadline() <= now) host->wake(now);
        }
        while (!on_way_.empty() && on_way_.top().when <= now) {
            auto const arrived = std::move(const_cast<datagram&>(on_way_.top()));
            on_way_.pop();
            hosts[arrived.to]->receive(address_of(1 - arrived.to), arrived.bytes, now);
        }
        pump();
        return true;
    }
    void run_for(duration time) {
        auto const until = now + time;
        while (step(until)) continue;
    }
    /// A connection of a to b, accepted there.
    std::pair<utp::handle, utp::handle> connect() {
        auto const mine = a().connect(address_of(1), now).value();
        auto const until = now + 1min;
        for (;;) {
            if (auto const other = b().accept()) return {mine, *other};
            if (!step(until)) return {mine, utp::handle{~std::uint64_t{0}}};
        }
    }

    std::array<std::unique_ptr<utp::host>, 2> hosts;
    weather sky;
    /// What is sent besides each datagram of a side.
    std::function<std::vector<byte_vector>(unsigned from, byte_view datagram)> tamper;
    time_point now = begin;
    /// By the side that sent.
    std::array<std::uint64_t, 2> datagrams{}, bytes{};
    std::array<std::size_t, 2> largest{};

private:
    struct datagram {
        time_point when;
        std::uint64_t number = 0;
        unsigned to = 0;
        byte_vector bytes;
        bool operator<(datagram const& other) const {
            return std::pair{when, number} > std::pair{other.when, other.number};
        }
    };

    bool happens(double probability) {
        return probability > 0 && std::uniform_real_distribution<>{0, 1}(random_) < probability;
    }
    duration any(duration most) {
        return most <= 0ms ? duration{0} : duration{static_cast<duration::rep>(random_() % most.count())};
    }
    void carry(unsigned from, byte_view bytes_of_it) {
        ++datagrams[from];
        bytes[from] += bytes_of_it.size();
        largest[from] = std::max(largest[from], bytes_of_it.size());
        auto const size = bytes_of_it.size() + ip_and_udp;
        if (size > sky.mtu || happens(sky.loss)) return;
        if (bytes_of_it.size() > utp::limits::datagram_small && happens(sky.loss_of_large)) return;
        if (now - begin >= sky.blackout_from && now - begin < sky.blackout_to) return;
        auto leaves = now;
        if (sky.bytes_per_second > 0) {
            auto& free_at = free_at_[from];
            auto const waiting = std::chrono::duration<double>{std::max(free_at, now) - now}.count();
            if (waiting * sky.bytes_per_second + static_cast<double>(size) > static_cast<double>(sky.queue)) return;
            auto const takes = std::chrono::duration<double>{static_cast<double>(size) / sky.bytes_per_second};
            free_at = std::max(free_at, now) + std::chrono::duration_cast<duration>(takes);
            leaves = free_at;
        }
        for (auto copies = happens(sky.duplicate) ? 2 : 1; copies > 0; --copies) {
            auto when = leaves + sky.delay + any(sky.jitter);
            if (happens(sky.reorder)) when += any(sky.reorder_by);
            on_way_.push({when, ++number_, 1 - from, {bytes_of_it.begin(), bytes_of_it.end()}});
        }
    }

    std::mt19937_64 random_;
    std::priority_queue<datagram> on_way_;
    std::uint64_t number_ = 0;
    std::array<time_point, 2> free_at_{begin, begin};
};

/// One side of a conversation: sends so many bytes of a stream, then closes when the other side is done too (or at
/// once), and checks what comes.
class talker {
public:
    talker(simulated_link& with, unsigned side, utp::handle which, std::uint64_t to_send, std::uint64_t seed)
        : with_(with), side_(side), which_(which), to_send_(to_send), seed_(seed), random_(seed + side) {}

    /// Does what can be done now.
    void turn() {
        if (is_closed) return;
        auto& host = *with_.hosts[side_];
        std::array<std::byte, 8192> place;
        while (auto const count =
                   host.read(which_, std::array{mutable_byte_view{place}.first(some(8192))}, with_.now)) {
            for (std::size_t i = 0; i < count; ++i)
                is_exact = is_exact && place[i] == content(seed_ * 2 + 1 - side_, received++);
        }
        while (sent < to_send_) {
            auto const wanted = std::min<std::uint64_t>(some(8192), to_send_ - sent);
            auto const count = std::min<std::uint64_t>(wanted, host.writable(which_));
            for (std::size_t i = 0; i < count; ++i) place[i] = content(seed_ * 2 + side_, sent + i);
            // more than there is room for, so that the room is told of
            sent += host.write(which_, std::array{byte_view{place}.first(wanted)}, with_.now);
            if (count < wanted) break;
        }
        is_ended = host.is_ended(which_);
        error = host.error(which_);
        if ((sent == to_send_ && host.is_connected(which_) && (closes_first || is_ended)) || error) close();
    }
    void close() {
        with_.hosts[side_]->close(which_, with_.now);
        is_closed = true;
    }

    bool closes_first = false;
    bool is_exact = true, is_ended = false, is_closed = false;
    std::uint64_t sent = 0, received = 0;
    std::error_code error;

private:
    std::size_t some(std::size_t most) { return 1 + random_() % most; }

    simulated_link& with_;
    unsigned side_;
    utp::handle which_;
    std::uint64_t to_send_;
    std::uint64_t seed_;
    std::mt19937_64 random_;
};

/// Sends `size` bytes from a to b and says how long that took, in seconds; negative when it did not come, exactly, in
/// `most`.
inline double transfer(std::uint64_t seed, weather how, std::uint64_t size, duration most = 10min) {
    simulated_link between{seed, how};
    auto const [mine, other] = between.connect();
    talker from{between, 0, mine, size, seed}, to{between, 1, other, 0, seed};
    from.closes_first = true;
    auto const started = between.now;
    do {
        from.turn();
        to.turn();
    } while (!to.is_closed && between.step(started + most));
    if (!to.is_exact || !to.is_ended || to.received != size) return -1;
    return std::chrono::duration<double>{between.now - started}.count();
}

inline std::optional<std::uint64_t> from_environment(char const* name) {
    auto const* const text = std::getenv(name);
    if (text == nullptr) return std::nullopt;
    return std::stoull(text);
}
/// SHOAL_SEED alone, or as many as SHOAL_SEEDS says.
inline std::vector<std::uint64_t> seeds(std::uint64_t usual) {
    if (auto const one = from_environment("SHOAL_SEED")) return {*one};
    std::vector<std::uint64_t> all(from_environment("SHOAL_SEEDS").value_or(usual));
    for (std::size_t i = 0; i < all.size(); ++i) all[i] = i;
    return all;
}
}  // namespace utp_test
