#pragma once
// Peers that announce to a tracker, to measure it: what they ask, and whether the answers are right.
// Include it last: it imports.
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

import shoal.announce;
import shoal.core;
import shoal.measure;

namespace load {
using namespace shoal;

/// The peers that announce: numbers below `peers`, spread over the torrents in turn, all at one address.
struct population {
    std::uint32_t peers = 50'000, torrents = 1000;
    std::uint32_t wanted = 50;  ///< Peers in an answer.

    std::uint32_t torrent_of(std::uint32_t peer) const noexcept { return peer % torrents; }
    /// Distinct within a torrent, and of all where there are ports enough: most peers have one torrent.
    std::uint16_t port_of(std::uint32_t peer) const noexcept {
        return static_cast<std::uint16_t>(1 + (has_own_ports() ? peer : peer / torrents));
    }
    bool has_own_ports() const noexcept { return peers < 65'535; }
    announce::announce_request request_of(std::uint32_t peer, announce::event what) const;
    /// Whether an answer to this peer is one: it counts somebody, and names peers of its torrent, at most as many as
    /// were wanted.
    bool is_right(std::uint32_t peer, announce::announce_reply const& reply) const;
};

enum class transport { udp, http, http_close };

struct plan {
    transport by = transport::udp;
    bool is_fill = false;            ///< Each peer once, as it starts; else peers by chance.
    measure::seconds lasts{5};       ///< Unless it is a fill.
    double rate = 0;                 ///< Announces a second, at fixed times; 0: as fast as answers come.
    std::uint32_t window = 128;      ///< Requests that are open at once. Of HTTP: connections.
    bool is_blind = false;           ///< The other side does not look at what it is asked: nor are its answers.
    std::string path = "/announce";  ///< Of HTTP; of UDP, what BEP 41 sends where it is another.
};

/// What came of it.
struct figures {
    measure::seconds took{};
    std::uint64_t answered = 0;  ///< Rightly.
    std::uint64_t wrong = 0;     ///< Refusals, and answers that are none.
    std::uint64_t lost = 0;      ///< Without an answer for a second.
    std::uint64_t named = 0;     ///< Peers in the right answers.
    std::vector<double> waited;  ///< Seconds for each right answer; with a rate, from when it was to be sent.
};

/// Throws `std::system_error` where the tracker cannot be reached.
figures run(endpoint const& tracker, population const& who, plan const& how);
figures run_udp(endpoint const& tracker, population const& who, plan const& how);
figures run_http(endpoint const& tracker, population const& who, plan const& how);

/// Whose turn it is, and when. Chance without a seed: the same each time.
class turns {
public:
    turns(population const& who, plan const& how) : who_(who), how_(how) {}
    /// Whether another announce is due at `now`.
    bool has_next(measure::seconds now) const noexcept;
    /// The peer that announces, and when it was to.
    struct turn {
        std::uint32_t peer;
        double since;
    };
    turn next(measure::seconds now) noexcept;
    /// No further one comes.
    bool is_over(measure::seconds now) const noexcept;
    announce::event what() const noexcept { return how_.is_fill ? announce::event::started : announce::event::none; }

private:
    population const& who_;
    plan const& how_;
    std::uint64_t given_ = 0, state_ = 1;
};

/// What is not answered in so long is lost.
inline constexpr measure::seconds lost_after{1};
/// Throws what `errno` says.
[[noreturn]] void fail(char const* what);
/// A socket (SOCK_STREAM or SOCK_DGRAM) that is connected to the tracker. Throws `std::system_error`.
int connected_socket(endpoint const& tracker, int type);

/// A tracker that does not look at what it is asked and gives everybody the same answer, of so many peers: the limit.
/// Serves on a bound UDP and a listening TCP socket until it is killed.
int serve_blindly(int udp, int tcp, std::uint32_t peers);
}  // namespace load
