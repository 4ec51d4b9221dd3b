module;
#include <chrono>
#include <cstddef>
#include <cstdint>

export module shoal.engine:limits;

export namespace shoal::engine {
using namespace std::chrono_literals;

/// A stranger has this long for its whole handshake, however it dribbles (class C6).
inline constexpr auto handshake_timeout = 10s;
/// A TCP connection that takes longer is given up.
inline constexpr auto connect_timeout = 10s;
/// Connections of one transfer unless the user says otherwise: more help little and cost memory.
inline constexpr std::size_t peers_max_default = 200;
/// Addresses a transfer remembers; further ones push out nobody and are dropped (class D5).
inline constexpr std::size_t known_peers_max = 3'000;
/// Connections being opened at once by one transfer: keeps a flood of dead addresses cheap.
inline constexpr std::size_t connecting_max = 30;
/// Connections from one IPv4 address or IPv6 /64 to one transfer, and strangers from there in their handshake: a
/// household behind one address, not an army (class C12).
inline constexpr std::size_t peers_per_address_max = 16;
/// Peers of one address that were banned before all that come from there are.
inline constexpr std::size_t banned_ids_max = 3;
/// Strangers that may be in their handshake with the node at once.
inline constexpr std::size_t handshakes_max = 200;
/// A peer that comes while content is still being checked is kept waiting this long; TCP and BEP 3 allow 2 minutes.
inline constexpr auto checking_patience = 100s;
/// Wait before the first new try at a peer that failed; doubled each time, up to `reconnect_after_max`.
inline constexpr auto reconnect_after = 5s;
inline constexpr auto reconnect_after_max = 10min;
/// A connection that brought a block, or lasted this long, ends the row of failures.
inline constexpr auto trusted_after = 1min;
/// After so many failures in a row an address is forgotten.
inline constexpr unsigned connect_failures_max = 8;

/// A peer has this long to say where it listens and what it has before we go on without: both come with its first
/// bytes.
inline constexpr auto introduction_patience = 2s;
/// With `transfer_options::members_only`: who connects before we were told of him has this long to be named. A hub
/// tells within half a second, and 4 ms more for each peer (docs/hub-protocol.md).
inline constexpr auto naming_patience = 5s;
/// And so many may wait for that at once.
inline constexpr std::size_t unnamed_max = 32;
/// Of one address; loopback excepted.
inline constexpr std::ptrdiff_t unnamed_per_address_max = 2;
/// Addresses that are remembered as named: more than a hub tells a session of.
inline constexpr std::size_t introduced_max = 12'000;
/// Who was not named again for so long is a stranger: two of the longest usual announce intervals.
inline constexpr auto named_lifetime = 1h;
/// A ping that takes longer has no answer.
inline constexpr auto ping_timeout = 10s;
/// Between two pings of ours to one peer.
inline constexpr auto ping_interval = 100ms;
/// Pings of one peer that are answered: a burst, and so many more each second. Twice what our own pace needs.
inline constexpr std::uint32_t pings_burst = 20;
inline constexpr std::uint32_t pings_per_second = 20;
/// A piece that is fetched by hand: longest silence of its peer. A full peer's optimistic slot comes round in 30 s.
inline constexpr auto fetch_patience = 60s;
/// And its slowest rate, bytes a second, so that a peer that dribbles is given up.
inline constexpr std::uint32_t fetch_rate_min = 4096;
/// Pieces fetched by hand at once.
inline constexpr std::size_t fetches_max = 64;
/// Pieces under way to one peer of which the end is told; peers ask for one or two at a time.
inline constexpr std::size_t uploads_told_max = 64;

/// Memory for blocks that were asked for or wait to be written, for the whole node.
inline constexpr std::size_t receive_budget = 24u << 20;
/// Memory for blocks read from disk for peers, for the whole node; blocks sent from the mapping cost none.
inline constexpr std::size_t send_budget = 8u << 20;
/// Bytes handed to the wire core before the socket took them: two full sends, so that a choke soon takes effect.
inline constexpr std::size_t send_watermark = 256u << 10;
/// The same where the upload is limited: the socket's buffer should not hold what others could have had.
inline constexpr std::size_t send_watermark_limited = 32u << 10;
/// Blocks that one trip to the disk brings in for a peer.
inline constexpr std::size_t blocks_per_disk_read = 16;
/// Blocks gathered by one system call. 2 or 3 are fastest, 4 exactly (64 KiB) slowest: TOOLCHAIN.md, docs/benchmarks.
inline constexpr std::size_t blocks_per_send = 3;
/// Places filled by one system call; Asio and we stop at 64.
inline constexpr std::size_t places_per_receive = 64;

/// A hub is pinged after so long without a byte, and given up after the second.
inline constexpr auto hub_ping_after = 20s;
inline constexpr auto hub_idle_max = 60s;
/// Time for a hub to answer what was asked of it.
inline constexpr auto hub_answer_timeout = 10s;

/// How often a transfer looks at deadlines, rates and connections.
inline constexpr auto tick_interval = 500ms;
/// Verified pieces become durable at least this often: what a crash costs to check again.
inline constexpr auto sync_interval = 5s;
/// Bytes that a thread of the pool checks before other work gets its turn: some 10 ms of hashing, 100 ms of an old
/// disk.
inline constexpr std::uint64_t check_turn = 16u << 20;
/// Time between two tries to write after the disk failed us.
inline constexpr auto storage_retry_after = 2s;
/// Time between two looks at whether somebody changed the files of a transfer.
inline constexpr auto content_look_interval = 5s;
/// Pieces of a changed file that are read again at one look.
inline constexpr std::size_t pieces_looked_at_max = 64;
/// Time for trackers to hear that we leave, when stopping.
inline constexpr auto farewell_timeout = 2s;
/// An announce that takes longer is given up and tried again later.
inline constexpr auto announce_timeout = 30s;
/// Addresses of a UDP tracker's name that are tried, within `announce_timeout` together.
inline constexpr std::size_t udp_addresses_max = 3;
/// Peers asked of a tracker at once. Source: BEP 3 leaves it to the client; 50 is what trackers give.
inline constexpr std::uint32_t peers_wanted = 100;
/// With fewer connected peers than this, a transfer that needs data asks again early.
inline constexpr std::size_t peers_enough = 10;
/// Wait after a failed announce, doubled each time up to the second figure.
inline constexpr auto announce_retry_after = 5s;
inline constexpr auto announce_retry_after_max = 30min;
}  // namespace shoal::engine
