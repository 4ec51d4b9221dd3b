/// uTP, streams over datagrams that yield to other traffic, as a value: datagrams and time in, bytes, changes and
/// datagrams out. Source: BEP 29; RFC 6817 (LEDBAT). No sockets, no clock: a driver moves the datagrams.
module;
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <list>
#include <memory>
#include <optional>
#include <span>
#include <system_error>
#include <unordered_map>
#include <vector>

export module shoal.utp;
export import :protocol;    // packets, limits, errors
export import :connection;  // congestion control
import shoal.core;          // endpoint, result, time_point

export namespace shoal::utp {
struct host_settings {
    std::uint64_t seed = 0;  ///< For connection ids, sequence numbers, and keys of tables. From a random device.
    bool accepts = true;     ///< Whether strangers may connect; else they are reset.
    std::size_t connections_max = 2000;      ///< Open at once, the ones that are closing included.
    std::size_t per_customer_max = 32;       ///< Of strangers: at once from one `ip_address::customer`.
    std::size_t receive_window = 2U << 20U;  ///< Bytes a connection keeps for its reader at most. A power of two.
    std::size_t send_buffer = 4U << 20U;     ///< Bytes a connection takes before they are acknowledged. A power of two.
    std::size_t buffers_max = 128U << 20U;   ///< Bytes of all connections, but for `limits::buffer_guaranteed` each.
};

/// A connection of a host. Valid until `host::close`; afterwards it names nothing, and never another connection.
enum class handle : std::uint64_t {};

/// Where a datagram that `host::next_datagram` wrote is to go.
struct outgoing {
    endpoint to;
    std::size_t length = 0;
};

/// All uTP connections of one datagram socket.
///
/// After each input drain `accept`, `next_changed` and `next_datagram`. Time never goes back: an earlier `now` counts
/// as the last one. Memory is bounded by the settings. A datagram costs constant time, after losses up to what a walk
/// over the packets on their way takes. A number or an id that comes from a peer is a hint: what does not fit is
/// dropped.
class host {
public:
    explicit host(host_settings settings);
    host(host const&) = delete;
    host& operator=(host const&) = delete;
    ~host();

    // Inputs

    /// The socket delivered this datagram. What is no packet of a connection is dropped, or reset.
    void receive(endpoint const& from, byte_view datagram, time_point now);
    /// `deadline()` has passed.
    void wake(time_point now);
    /// Begins a connection. Its end is told by `next_changed`: connected or failed.
    result<handle> connect(endpoint const& to, time_point now);
    /// Copies bytes that arrived to `places`, in order, and says how many. The peer may send as many again.
    std::size_t read(handle which, std::span<mutable_byte_view const> places, time_point now);
    /// Takes the first bytes of `runs` for sending, as many as there is room for, and says how many. If not all, the
    /// connection will be told of by `next_changed` when there is room.
    std::size_t write(handle which, std::span<byte_view const> runs, time_point now);
    /// Ends the connection once what was written is acknowledged, in `limits::closing_max` at most. Bytes that come
    /// are dropped. The handle is not valid any more.
    void close(handle which, time_point now);

    // Outputs

    /// A stranger's connection, whose address is proven. It may have bytes to read already.
    std::optional<handle> accept();
    /// A connection that became connected, readable, writable after a `write` that was cut short, ended or failed. Look
    /// at it by what follows.
    std::optional<handle> next_changed();
    /// Writes the next datagram to `place`, which has at least `limits::datagram_max` bytes; nothing when there is none
    /// to send now. It is made up at this moment: do not ask before the socket can take it. A datagram that the socket
    /// refuses is just lost.
    std::optional<outgoing> next_datagram(mutable_byte_view place, time_point now);
    /// When to call `wake`; `time_point::max()` for not at all.
    time_point deadline() const noexcept;

    // One connection. A handle that is not valid has nothing of all this.

    bool is_connected(handle which) const noexcept;
    /// Bytes that `read` would copy now; also of a connection that failed.
    std::size_t readable(handle which) const noexcept;
    /// Bytes that `write` would take now.
    std::size_t writable(handle which) const noexcept;
    /// The peer closed, and all it sent was read. Stays so if the connection fails later.
    bool is_ended(handle which) const noexcept;
    /// Why it failed; no error as long as it has not.
    std::error_code error(handle which) const noexcept;
    endpoint remote(handle which) const noexcept;
    /// How its path looks. For people; zeros until known.
    struct path {
        std::chrono::microseconds round_trip{0};
        std::chrono::microseconds queueing_delay{0};
        std::size_t window = 0;         ///< Bytes on their way at most.
        std::size_t datagram_size = 0;  ///< Bytes of the largest datagram that is sent.
    };
    path path_of(handle which) const noexcept;

    /// Connections, the ones that are closing included.
    std::size_t size() const noexcept { return by_name_.size(); }
    /// Strangers' attempts that wait for their proof.
    std::size_t half_open() const noexcept { return half_open_by_name_.size(); }
    /// Bytes that the connections hold in buffers.
    std::size_t buffered() const noexcept { return pool_.used; }

private:
    /// What tells a connection: where the peer is, and the id that its packets have.
    struct name {
        endpoint remote;
        std::uint16_t receive_id = 0;
        friend bool operator==(name const&, name const&) = default;
    };
    struct keyed_hash {  // strangers choose the keys
        siphash_key key{};
        std::size_t operator()(name const& of) const noexcept;
        std::size_t operator()(ip_address const& of) const noexcept;
    };
    struct slot {
        std::unique_ptr<connection> core;
        std::uint32_t generation = 0;
        bool is_ready = false;    // in ready_
        bool is_changed = false;  // in changed_
    };
    struct half_open_connection {
        name is;
        std::uint16_t syn_nr = 0;
        std::uint16_t seq_nr = 0;
        time_point since{};
    };
    struct reply {
        endpoint to;
        packet_header header;
    };

    connection* find(handle which) const noexcept;
    handle handle_of(std::uint32_t slot) const noexcept;
    std::uint32_t add(connection::settings with, name const& as, time_point now);
    void remove(std::uint32_t at);
    void settle(std::uint32_t at, bool may_send = true);
    time_point moved_on(time_point now) noexcept;
    std::uint64_t random() noexcept;
    std::uint32_t clock(time_point now) const noexcept;

    // strangers.cpp
    void receive_syn(endpoint const& from, packet const& syn, time_point now);
    void receive_reset(endpoint const& from, packet const& reset, time_point now);
    bool receive_proof(name const& is, packet const& from_peer, time_point now);
    bool has_room_for(endpoint const& stranger) const noexcept;
    void forget_half_open(name const& is);
    void answer_syn(half_open_connection const& to, packet const& syn, time_point now);
    void answer_by_reset(endpoint const& to, packet const& unknown, time_point now);

    host_settings settings_;
    std::uint64_t random_state_;
    keyed_hash hash_;
    std::uint32_t clock_offset_;
    time_point now_ = time_point::min();
    buffer_pool pool_;

    std::vector<slot> slots_;
    std::vector<std::uint32_t> free_;
    std::unordered_map<name, std::uint32_t, keyed_hash> by_name_;
    crowd strangers_;  // connections that strangers began
    deadline_queue deadlines_;
    std::deque<std::uint32_t> ready_;  // may have something to send
    unsigned turn_ = 0;                // packets that the first of them sent in a row
    std::deque<std::uint32_t> changed_;
    std::deque<handle> accepted_;

    std::list<half_open_connection> half_open_;  // oldest first
    std::unordered_map<name, std::list<half_open_connection>::iterator, keyed_hash> half_open_by_name_;
    std::deque<reply> replies_;
    budget resets_{{limits::resets_per_second, limits::resets_per_second}};
};
}  // namespace shoal::utp
