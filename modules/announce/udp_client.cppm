module;
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <system_error>
#include <variant>
#include <vector>

export module shoal.announce:udp_client;
import shoal.core;
import :types;
import :udp_packet;

export namespace shoal::announce {
/// A client uses a connection id this long. Source: BEP 15, "one minute".
inline constexpr std::chrono::seconds udp_connection_lifetime{60};
/// The first answer is awaited this long, each further one twice as long as the one before. Source: BEP 15, "time
/// outs".
inline constexpr std::chrono::seconds udp_timeout{15};
/// Retransmissions before the tracker counts as gone: the last waits 15 * 2^8 s. A caller who has other trackers gives
/// up sooner by its own deadline.
inline constexpr unsigned udp_retransmissions_max = 8;

/// The outcome of one request to a UDP tracker.
using udp_outcome = std::variant<announce_reply, scrape_reply, failure, std::error_code>;

/// A client's conversation with one UDP tracker at one address: connect, then announce or scrape, one request at a
/// time, again and again until answered. The driver hands in only packets that came from the tracker's address.
class udp_client {
public:
    /// `seed` is for transaction ids; a stranger who can guess it can forge answers.
    udp_client(std::uint64_t seed, udp_family family) noexcept : seed_(seed), family_(family) {}

    // Inputs. A new request replaces one that is still open.
    /// `url_data`: path and query of the tracker's URL, for BEP 41; empty for none.
    void announce(announce_request request, std::string url_data, time_point now);
    void scrape(std::vector<info_hash> torrents, time_point now);
    /// A packet from the tracker. What answers no open request is passed over (class J7).
    void receive(byte_view packet, time_point now);
    void wake(time_point now);  ///< `deadline()` has passed.

    // Outputs.
    /// The next packet to send; nothing when there is none.
    std::optional<byte_vector> next_packet();
    /// The outcome of the request, once.
    std::optional<udp_outcome> take_outcome();
    /// When to call `wake`; `time_point::max()` when nothing is awaited.
    time_point deadline() const noexcept { return deadline_; }

private:
    struct announce_task {
        announce_request request;
        std::string url_data;
    };
    struct scrape_task {
        std::vector<info_hash> torrents;
    };
    using open_request = std::variant<std::monostate, announce_task, scrape_task>;

    void begin(open_request what, time_point now);
    void transmit(time_point now);
    void finish(udp_outcome outcome);
    bool is_connected(time_point now) const noexcept { return now < connected_until_; }
    std::uint32_t next_transaction() noexcept;

    std::uint64_t seed_;
    std::uint64_t transactions_ = 0;
    udp_family family_;
    open_request open_;
    bool awaits_connection_ = false;
    std::uint32_t transaction_ = 0;
    std::uint64_t connection_ = 0;
    time_point connected_until_ = time_point::min();
    unsigned retransmissions_ = 0;
    time_point deadline_ = time_point::max();
    std::optional<byte_vector> packet_;
    std::optional<udp_outcome> outcome_;
};
}  // namespace shoal::announce
