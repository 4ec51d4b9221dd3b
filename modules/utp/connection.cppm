module;
#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <system_error>
#include <utility>
#include <vector>

/// One connection and what it is made of. Only `congestion` and `delay_history` are for others, which is for tests.
export module shoal.utp:connection;
import shoal.core;
import :protocol;

export namespace shoal::utp {
/// The least of what was measured in the last two to three minutes, kept as the least of each minute: routes change and
/// clocks drift, so that an older minimum means nothing. Samples are microseconds modulo 2^32 and of any origin; a rise
/// by more than `limits::delay_jump` is a clock that was set, and begins anew.
class delay_history {
public:
    /// How much `sample` is above the least one.
    std::chrono::microseconds add(std::uint32_t sample, time_point now) noexcept;
    std::uint32_t base() const noexcept;
    bool is_empty() const noexcept { return is_empty_; }
    /// Moves all that is known by `by` microseconds upwards.
    void raise(std::uint32_t by) noexcept;

private:
    std::array<std::uint32_t, 3> minima_{};  // of this minute, the last, and the one before
    time_point minute_{};
    bool is_empty_ = true;
};

/// How many bytes may be on their way: LEDBAT. Source: BEP 29, "congestion control"; RFC 6817.
class congestion {
public:
    /// The peer told its `timestamp_difference_microseconds`: our packets' delay.
    void measured(std::uint32_t timestamp_difference, time_point now) noexcept;
    /// `reply_micro`, the delay of the peer's packets: tells the drift between the clocks.
    void heard(std::uint32_t reply_micro, time_point now) noexcept;
    /// So many bytes were newly acknowledged, after `rtt`. `is_limited`: more would have been sent but for `window`,
    /// without which it does not grow.
    void acked(std::size_t bytes, std::chrono::microseconds rtt, bool is_limited) noexcept;
    /// A packet was lost. At most once a round trip; the caller sees to it.
    void lost() noexcept;
    /// Nothing came back for a whole timeout.
    void timed_out() noexcept;

    /// Bytes, headers of uTP included.
    std::size_t window() const noexcept { return static_cast<std::size_t>(window_); }
    bool in_slow_start() const noexcept { return in_slow_start_; }
    /// The queueing delay of the path to the peer: the least of the last samples, never above `rtt`.
    std::chrono::microseconds delay(std::chrono::microseconds rtt) const noexcept;

private:
    void clamp() noexcept;

    double window_ = limits::window_initial;
    double slow_start_until_ = std::numeric_limits<double>::max();
    bool in_slow_start_ = true;
    delay_history ours_;
    delay_history theirs_;
    std::array<std::chrono::microseconds, 4> delays_{};  // the last ones; noise only ever adds
    std::size_t next_delay_ = 0;
};
}  // namespace shoal::utp

namespace shoal::utp {
/// What all connections of a host draw their memory from.
struct buffer_pool {
    std::size_t max = 0;
    std::size_t used = 0;
    std::vector<byte_vector> spares{};  ///< Empty, with room for a packet each.

    std::size_t left() const noexcept { return max - std::min(used, max); }
    byte_vector take_spare();
    void give_back(byte_vector bytes);
};

/// Bytes in the order of a stream, in memory that grows by doubling and is the pool's.
class byte_ring {
public:
    explicit byte_ring(buffer_pool& pool) noexcept : pool_(&pool) {}
    byte_ring(byte_ring const&) = delete;
    byte_ring& operator=(byte_ring const&) = delete;
    ~byte_ring() { release(); }

    std::size_t size() const noexcept { return size_; }
    std::size_t capacity() const noexcept { return capacity_; }
    /// Bytes that `append` could take, when `max` are to be held at most.
    std::size_t room(std::size_t max) const noexcept;
    /// Appends as many bytes as there is `room` for, and says how many.
    std::size_t append(byte_view bytes, std::size_t max);
    /// Copies `place.size()` bytes from `offset` on, which are there.
    void copy(std::size_t offset, mutable_byte_view place) const noexcept;
    void drop(std::size_t count) noexcept;
    /// Gives the memory back; what was held is gone.
    void release() noexcept;

private:
    void grow(std::size_t needed);

    buffer_pool* pool_;
    std::unique_ptr<std::byte[]> bytes_;
    std::size_t capacity_ = 0;  // 0 or a power of two
    std::size_t head_ = 0;      // position of the first byte, modulo capacity_
    std::size_t size_ = 0;
};

inline constexpr time_point never = time_point::max();

/// One end of a connection, from SYN sent or address proven until it may be forgotten.
class connection {
public:
    struct settings {
        endpoint remote;
        bool is_initiator = false;
        std::uint16_t receive_id = 0;
        std::uint16_t seq_nr = 0;  ///< Of the SYN, or of what the acceptor sends first.
        std::uint16_t ack_nr = 0;  ///< The acceptor's: of the peer's SYN.
        std::uint32_t clock_offset = 0;
        std::size_t receive_window = 0;
        std::size_t send_buffer = 0;
    };
    connection(settings const& with, buffer_pool& pool, time_point now);
    connection(connection const&) = delete;
    connection& operator=(connection const&) = delete;
    ~connection();

    // what the host does with it
    void receive(packet const& from_peer, time_point now);
    void receive_syn(time_point now);
    void wake(time_point now);
    std::size_t read(std::span<mutable_byte_view const> places, time_point now);
    std::size_t write(std::span<byte_view const> runs);
    void close(time_point now);
    /// Writes the next datagram to `place`; 0 when there is none to send now.
    std::size_t compose(mutable_byte_view place, time_point now);
    /// May be earlier than anything happens, never later.
    time_point deadline() const noexcept;
    /// Something changed that the driver might want to know of; told once.
    bool take_change() noexcept { return std::exchange(has_changed_, false); }
    /// Closed by the driver, and the peer needs nothing more.
    bool is_over() const noexcept;

    endpoint const& remote() const noexcept { return with_.remote; }
    std::uint16_t receive_id() const noexcept { return with_.receive_id; }
    std::uint16_t send_id() const noexcept;
    bool is_initiator() const noexcept { return with_.is_initiator; }
    bool is_closed() const noexcept { return is_closed_; }
    bool is_connected() const noexcept { return state_ == state::connected; }
    std::size_t readable() const noexcept { return in_.size(); }
    std::size_t writable() const noexcept;
    std::error_code error() const noexcept { return error_; }
    bool is_ended() const noexcept { return is_eof_reached() && in_.size() == 0; }
    congestion const& window() const noexcept { return congestion_; }
    std::chrono::microseconds round_trip() const noexcept { return rtt_; }
    std::uint16_t seq_nr() const noexcept { return seq_nr_; }
    std::size_t datagram_size() const noexcept;

private:
    enum class state : std::uint8_t { syn_sent, connected, failed };
    std::size_t send_ahead() const noexcept;

    struct sent_packet {
        time_point sent_at{};
        std::uint64_t begin = 0;  // offset in the stream
        std::uint64_t order = 0;  // counts what is sent, resends too
        std::uint32_t length = 0;
        std::uint16_t size = 0;  // of the datagram
        std::uint8_t transmissions = 0;
        bool is_fin = false;
        bool is_acked = false;
        bool is_lost = false;   // to be sent again
        bool is_probe = false;  // padded, this time
    };
    struct held_packet {
        byte_vector bytes{};
        bool is_present = false;
    };

    // sending.cpp
    std::size_t compose_syn(mutable_byte_view place, time_point now);
    std::size_t compose_again(mutable_byte_view place, time_point now);
    std::size_t compose_new(mutable_byte_view place, time_point now);
    std::size_t compose_fin(mutable_byte_view place, time_point now);
    std::size_t compose_state(mutable_byte_view place, time_point now);
    std::size_t put(packet_type type, std::uint16_t seq_nr, mutable_byte_view place, time_point now);
    packet_header header(packet_type type, std::uint16_t seq_nr, time_point now);
    std::size_t send(packet_type type, std::uint16_t seq_nr, mutable_byte_view place, time_point now);
    sent_packet& add_sent(std::uint32_t length);
    std::size_t payload_for_receiver(std::size_t payload, time_point now);
    std::size_t fill_selective_ack(std::span<std::byte, limits::selective_ack_max> bits) const noexcept;
    bool fits_window(std::size_t size) noexcept;
    bool may_probe(std::size_t payload, time_point now) const noexcept;
    std::uint16_t outstanding() const noexcept { return static_cast<std::uint16_t>(seq_nr_ - base_); }
    sent_packet& sent(std::uint16_t seq_nr) noexcept { return sent_[seq_nr & (sent_.size() - 1)]; }
    void arm(time_point now) noexcept;

    // acknowledging.cpp
    void take_acks(packet const& from_peer, std::uint16_t newly, time_point now);
    void take_one(sent_packet& packet, time_point now, std::size_t& bytes, time_point& latest);
    void count_duplicate(packet const& from_peer, bool is_advance);
    void find_losses();
    void lose(std::uint16_t seq_nr, bool is_congestion);
    void forget_first_lost() noexcept;
    void time_out(time_point now);
    void measure(std::chrono::microseconds sample) noexcept;
    std::chrono::microseconds retransmission_timeout_once() const noexcept;
    duration retransmission_timeout() const noexcept;

    // receiving.cpp
    void answer_to_syn(packet const& from_peer, time_point now);
    void take_payload(packet const& from_peer, time_point now);
    void hold(std::uint16_t seq_nr, byte_view payload);
    bool deliver(byte_view payload);
    void deliver_held();
    void forget_held(held_packet& held);
    void acknowledge(bool at_once, time_point now) noexcept;
    bool is_eof_reached() const noexcept { return eof_ && static_cast<std::uint16_t>(ack_nr_ - *eof_) == 0; }
    std::size_t window_to_advertise() const noexcept;
    void empty_held() noexcept;
    void drop_held() noexcept;

    void fail(errc why);
    std::uint32_t clock(time_point now) const noexcept;

    settings with_;
    buffer_pool* pool_;
    state state_;
    std::error_code error_;
    bool has_changed_ = false;
    bool is_closed_ = false;
    time_point closed_at_{};
    time_point close_until_ = never;

    // sending
    byte_ring out_;
    std::vector<sent_packet> sent_;  // of a power of two; seq_nr modulo its size
    std::uint16_t seq_nr_;           // of the next new packet
    std::uint16_t base_;             // the oldest that is not acknowledged; seq_nr_ when all are
    std::uint64_t out_begin_ = 0;    // offset in the stream of the first byte in out_
    std::uint64_t next_byte_ = 0;    // offset of the first byte that no packet has
    std::size_t flight_ = 0;         // bytes of datagrams on their way, neither acknowledged nor lost
    std::uint32_t lost_count_ = 0;
    std::uint16_t first_lost_ = 0;  // none is before it; may be behind base_
    bool must_resend_ = false;      // one packet, whatever the window says
    std::uint64_t order_ = 0;
    std::uint64_t cut_order_ = 0;  // losses of what was sent before cut the window already
    std::array<std::uint64_t, limits::duplicate_acks>
        acked_orders_{};  // the latest sent of those acknowledged, falling
    std::uint32_t peer_window_ = limits::datagram_small;
    bool is_window_limited_ = true;
    bool has_short_write_ = false;
    bool is_fin_sent_ = false;
    bool is_fin_acked_ = false;
    unsigned syns_ = 0;
    bool must_send_syn_ = false;

    // for peers without selective acks
    bool peer_acks_selectively_ = false;
    std::uint32_t duplicates_ = 0;
    std::optional<std::uint16_t> recovering_until_;

    // path
    bool is_path_wide_ = false;
    bool is_probe_out_ = false;
    unsigned probes_lost_ = 0;
    time_point next_probe_{};

    // time
    congestion congestion_;
    std::chrono::microseconds rtt_{0};
    std::chrono::microseconds rtt_var_{0};
    unsigned timeouts_ = 0;  // since the peer was heard
    unsigned backoff_ = 0;   // doublings since it acknowledged something
    time_point timeout_at_ = never;
    time_point tail_probe_at_ = never;
    bool is_tail_probe_spent_ = false;
    time_point persist_at_ = never;
    bool may_persist_ = false;
    time_point ack_at_ = never;
    time_point last_sent_{};
    time_point last_heard_{};

    // receiving
    byte_ring in_;
    std::vector<held_packet> held_;  // of a power of two; seq_nr modulo its size
    std::uint32_t held_count_ = 0;
    std::size_t held_bytes_ = 0;
    std::uint16_t held_top_ = 0;  // the latest that is held
    std::uint16_t ack_nr_;        // the last that came in order
    std::optional<std::uint16_t> eof_;
    std::uint32_t reply_micro_ = 0;
    bool must_ack_ = false;
    std::size_t advertised_ = 0;
};

/// When each of many things is to be woken: a heap that knows where each of them is.
class deadline_queue {
public:
    /// Sets when `item` is due. Later than before is kept as it was: whoever is woken early says so again.
    void advance(std::uint32_t item, time_point when);
    void set(std::uint32_t item, time_point when);
    void remove(std::uint32_t item);
    bool empty() const noexcept { return heap_.empty(); }
    std::uint32_t first() const noexcept { return heap_.front().item; }
    time_point first_time() const noexcept { return heap_.empty() ? never : heap_.front().when; }

private:
    struct entry {
        time_point when;
        std::uint32_t item;
    };
    static constexpr std::uint32_t nowhere = ~std::uint32_t{0};
    void sift_up(std::uint32_t at) noexcept;
    void sift_down(std::uint32_t at) noexcept;
    void put(std::uint32_t at, entry what) noexcept;

    std::vector<entry> heap_;
    std::vector<std::uint32_t> where_;  // by item
};
}  // namespace shoal::utp
