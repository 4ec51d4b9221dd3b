module;
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <system_error>

/// What both ends agree on: packets, limits, and why a connection ends.
export module shoal.utp:protocol;
import shoal.core;

export namespace shoal::utp {
/// Why a connection failed. Each equals `condition::transient`: a peer that went away is nobody's fault.
enum class errc {
    refused = 1,     ///< The peer answered our SYN with a reset.
    no_answer,       ///< The peer did not answer our SYN, `syns_max` times.
    reset,           ///< The peer says that it does not know the connection (any more).
    timed_out,       ///< The peer acknowledged nothing, `timeouts_max` times in a row.
    full,            ///< `host_settings::connections_max` are open.
    not_an_address,  ///< Nobody can be at that endpoint: no port, or no unicast address.
};
std::error_code make_error_code(errc) noexcept;

/// Source: BEP 29, "type".
enum class packet_type : std::uint8_t { data, fin, state, reset, syn };

/// The fields of the version 1 header, spelt as in BEP 29, "header format".
struct packet_header {
    packet_type type = packet_type::state;
    std::uint16_t connection_id = 0;
    std::uint32_t timestamp_microseconds = 0;
    std::uint32_t timestamp_difference_microseconds = 0;
    std::uint32_t wnd_size = 0;  ///< Bytes.
    std::uint16_t seq_nr = 0;
    std::uint16_t ack_nr = 0;
    friend bool operator==(packet_header const&, packet_header const&) = default;
};

/// A packet as it came; the views point into the datagram.
struct packet {
    packet_header header;
    /// Bit `i % 8` of byte `i / 8` stands for `ack_nr + 2 + i`. Empty when there is none.
    byte_view selective_ack;
    byte_view payload;
};

/// Bytes of a header without extensions.
inline constexpr std::size_t header_length = 20;
/// May this datagram be uTP: known version and type, and long enough? Datagrams of the DHT, which share the socket,
/// begin with a `d` and are not.
bool is_packet(byte_view datagram) noexcept;
/// Nothing unless `is_packet`, and the chain of extensions ends inside the datagram. Extensions that are not known are
/// skipped.
std::optional<packet> parse(byte_view datagram) noexcept;
/// Writes header and selective ack (at most 252 bytes, none when empty) to `place`, padded to `padded_to` bytes (0:
/// not at all) by extensions that everybody skips; says how many bytes that took. A padding of 1 is not possible, and
/// is left out.
std::size_t write(packet_header const& header, byte_view selective_ack, std::size_t padded_to, mutable_byte_view place);

/// All limits of this room, and why they are so.
namespace limits {
using std::chrono::milliseconds;
using std::chrono::minutes;
using std::chrono::seconds;

/// The largest datagram (payload of UDP): with the headers of IP and UDP it makes a packet of 1400 bytes, which
/// tunnels, PPPoE and the like let pass. Offered to a path by a probe first.
inline constexpr std::size_t datagram_v4 = 1400 - 28;
inline constexpr std::size_t datagram_v6 = 1400 - 48;
inline constexpr std::size_t datagram_max = datagram_v4;
/// What every path carries: 576 bytes with the headers of IPv4 (RFC 791, 1122). Each connection starts so.
inline constexpr std::size_t datagram_small = 576 - 28;
/// Probes that may be lost until a path is taken for a narrow one, and when that is looked at anew: routes change.
inline constexpr unsigned mtu_probes = 3;
inline constexpr auto mtu_probe_again = minutes{10};
/// A large packet lost so often, while the peer is heard, means that the path became narrow.
inline constexpr unsigned large_losses_max = 3;

/// The queueing delay that LEDBAT aims at, and its window's growth a round trip at no delay at all. Source: BEP 29,
/// "congestion control"; the growth is what uTorrent uses, two packets.
inline constexpr auto delay_target = milliseconds{100};
inline constexpr double gain = 3000;
/// A rise of delay beyond this is no queue but a clock that was set.
inline constexpr auto delay_jump = seconds{10};
/// The largest adjustment for drift of the peer's clock; more is something else.
inline constexpr auto drift_max = milliseconds{10};
/// The congestion window, bytes: to begin with (four large packets), at least (one), at most (1 Gbit/s at 130 ms).
inline constexpr std::size_t window_initial = 4 * datagram_max;
inline constexpr std::size_t window_min = datagram_max;
inline constexpr std::size_t window_max = std::size_t{16} << 20;

/// Source: BEP 29, "timeouts". The doubling ends early, so that a path that comes back is noticed, and one that loses a
/// fifth of all both ways is tried often enough; a round trip that takes longer still has its time.
inline constexpr auto rto_initial = seconds{1};
inline constexpr auto rto_min = milliseconds{500};
inline constexpr auto rto_doubled_max = seconds{6};
inline constexpr auto rto_max = seconds{30};
/// Timeouts in a row, with nothing heard, that end a connection: 85 s at least. A blackout of 10 s takes five of them.
inline constexpr unsigned timeouts_max = 17;
/// SYNs sent for one connection: 15 s. Most peers of a swarm cannot be reached, and are many.
inline constexpr unsigned syns_max = 4;
/// How long an acknowledgement may wait for data to ride on, or for a second packet.
inline constexpr auto ack_delay = milliseconds{25};
/// What peers wait at most (libutp: 100 ms) before they acknowledge a single packet.
inline constexpr auto ack_delay_of_peers = milliseconds{100};
/// A packet that was sent before three that were acknowledged is lost. Source: BEP 29, "packet loss".
inline constexpr std::size_t duplicate_acks = 3;
/// Silence that is broken by an ack, so that NATs (30 s) keep the mapping.
inline constexpr auto keep_alive_after = seconds{29};
/// After `close`: while the peer acknowledges nothing new, and in all, until the FIN is acknowledged; a full send
/// buffer takes minutes on a slow link. And then until the peer's FIN came.
inline constexpr auto closing_stalled_max = seconds{90};
inline constexpr auto closing_max = minutes{10};
inline constexpr auto linger = seconds{5};

/// Packets on their way at most, and so far out of order a packet may come. Small against half of 65536, so that old
/// and new can be told apart; 4 MB of large packets.
inline constexpr std::uint16_t flight_packets_max = 3072;
inline constexpr std::uint16_t reorder_max = 4096;
/// An ack or a duplicate so much older than what is known already is not believed to be of this connection.
inline constexpr std::uint16_t lag_max = 4096;
/// The same for a reset, which somebody might forge: it answers one of the last packets.
inline constexpr std::uint16_t reset_lag_max = 256;
/// Bytes of a selective ack we send: 1024 packets, more than a window of 1 MiB.
inline constexpr std::size_t selective_ack_max = 128;

/// Connections begun by strangers who have not proven their address; the oldest goes. 100 bytes each.
inline constexpr std::size_t half_open_max = 1024;
/// Longer than a keep-alive, which may be the first packet after a lost one.
inline constexpr auto half_open_for = minutes{1};
/// Answers that wait to be sent to strangers; more are dropped.
inline constexpr std::size_t replies_max = 256;
/// Resets a second.
inline constexpr unsigned resets_per_second = 100;
/// Bytes taken for sending before they are acknowledged, at least; else twice the window.
inline constexpr std::size_t send_ahead_min = std::size_t{256} << 10;
/// What a connection may always have for each direction, bytes, however much others use: enough to get on.
inline constexpr std::size_t buffer_guaranteed = std::size_t{16} << 10;
/// Packets that one connection sends before the next has its turn.
inline constexpr unsigned turn_packets = 16;
}  // namespace limits
}  // namespace shoal::utp
export template <>
struct std::is_error_code_enum<shoal::utp::errc> : std::true_type {};
