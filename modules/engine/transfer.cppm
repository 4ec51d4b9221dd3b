module;
#include <chrono>
#include <coroutine>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

export module shoal.engine:transfer;
import shoal.asio;
import shoal.core;
import shoal.metainfo;
import shoal.net;
import shoal.store;

export namespace shoal::engine {
using namespace std::chrono_literals;

/// A stranger has this long for its whole handshake, however it dribbles (class C6).
inline constexpr auto handshake_timeout = 10s;
/// A TCP connection that takes longer is given up.
inline constexpr auto connect_timeout = 10s;
/// TCP has this long before uTP is tried beside it: it costs less, and does not get through everywhere. So has uTP
/// where it is tried first.
inline constexpr auto second_attempt_after = 1s;
/// And uTP this long after TCP has failed: most who refuse TCP are not there, and nobody says so for a datagram.
inline constexpr auto utp_patience = 3s;
/// Connections of one transfer unless the user says otherwise: more help little and cost memory.
inline constexpr std::size_t peers_max_default = 200;
/// Addresses a transfer remembers; further ones push out nobody and are dropped (class D5).
inline constexpr std::size_t known_peers_max = 3'000;
/// Connections being opened at once by one transfer: keeps a flood of dead addresses cheap.
inline constexpr std::size_t connecting_max = 30;
/// Connections from one IPv4 address or IPv6 /64 to one transfer, and strangers from there in their handshake: a
/// household behind one address, not an army (class C12). How networks share the places: `choker::gives_way`.
inline constexpr std::size_t peers_per_address_max = 16;
/// Who sent data that fails its hash is not talked to for so long. Not for ever: a disk that gives back what was not
/// written makes its owner a liar once, and he may be the only one we know.
inline constexpr auto ban_lifetime = 1h;
/// Peers of one address that are banned before nobody new is let in from there, until `ban_lifetime` after the last of
/// them. A liar who comes back under ever new names is stopped; of his honest neighbours behind the same NAT those who
/// are connected stay, and the others wait. An hour of that costs us three bad pieces.
inline constexpr std::size_t banned_ids_max = 3;
/// Bytes a second, both ways together, from which on a connection counts as useful: a block every sixteen seconds.
inline constexpr double useful_rate = 1024;
/// Strangers that may be in their handshake with the node at once; with one more, one of them is closed.
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
/// And so many may wait for that at once, in the whole node. Who asks for a torrent that is not here waits among them,
/// so that the time until we hang up tells nobody what is here (class C13).
inline constexpr std::size_t unnamed_max = 32;
/// Of one address; loopback excepted.
inline constexpr std::size_t unnamed_per_address_max = 2;
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
/// A piece that a peer has and refuses to send is not asked of it for so long: it may be reading it anew.
inline constexpr auto refused_piece_rest = 10s;
/// Pieces under way to one peer of which the end is told; peers ask for one or two at a time.
inline constexpr std::size_t uploads_told_max = 64;

/// A peer may tell us of others so often: the minute of BEP 11, and slack for its clock.
inline constexpr auto exchange_heard_interval = 45s;
/// Addresses that peers told us of; trackers, hubs and the user have the other half of `known_peers_max` (class D5).
inline constexpr std::size_t hearsay_max = known_peers_max / 2;
/// And ports of one customer among them; loopback excepted.
inline constexpr std::size_t hearsay_per_address_max = 2;
/// Connections being opened beyond which nobody is tried on hearsay: who was named goes first.
inline constexpr std::size_t hearsay_connecting_max = connecting_max / 3;
/// Whoever peers told us of is tried so often, and then left alone so long: he may be a victim, and no peer at all.
inline constexpr unsigned hearsay_tries_max = 3;
inline constexpr auto hearsay_rest = 1h;
/// Time between two announces to the DHT, where most nodes keep them for half an hour.
inline constexpr auto dht_announce_interval = 15min;
/// Few peers while we need some: the DHT is asked again after so long, and after twice that, up to the interval.
inline constexpr auto dht_ask_again_after = 3s;
/// A multicast group that could not be joined is tried again after so long: there may be a network then.
inline constexpr auto local_group_retry_after = 1min;
/// How often a transfer looks whether it may still be announced on the local network.
inline constexpr auto local_look_interval = 30s;
/// Bytes a second that a transfer reads again at most, looking for decay: a disk has other work.
inline constexpr std::uint64_t scrub_rate_max = 8 << 20;
/// Ports below belong to the services of a system: no peer listens there, and nobody but the user sends us there.
inline constexpr std::uint16_t low_ports_end = 1024;

/// An info dictionary that peers say is longer is a long one, and no more of those are fetched at once for one magnet
/// link (class D1): what liars make us hold is bounded, and they keep nobody out who is not as long.
inline constexpr std::uint32_t metadata_long = 1u << 20;
inline constexpr std::size_t metadata_long_max = 4;
/// Pieces of the info dictionary that a peer may have asked for and not got yet (class D3).
inline constexpr std::size_t metadata_asked_max = 64;
/// Pieces of the info dictionary sent to one peer: twice the whole at once, and so many more each second.
inline constexpr std::uint32_t metadata_pieces_per_second = 16;

/// Memory for blocks that were asked for or wait to be written, for the whole node.
inline constexpr std::size_t receive_budget = 16u << 20;
/// Memory for blocks read from disk for peers, for the whole node; blocks sent from the mapping cost none.
inline constexpr std::size_t send_budget = 8u << 20;
/// When that is used up, whoever has read nothing of his blocks for so long is sent away (class C5): with a quick line
/// a block takes less than a second, and the wire's patience of minutes would stop all others.
inline constexpr auto buffers_kept_for = 10s;
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
/// Padding at the end of a piece is made here and hashed, up to so many bytes; more is asked for: who has us hash much
/// shall have to send it.
inline constexpr std::uint32_t padding_made_max = 16u << 20;
/// Time between two tries to write after the disk failed us.
inline constexpr auto storage_retry_after = 2s;
/// Time between two looks at whether somebody changed the files of a transfer.
inline constexpr auto content_look_interval = 5s;
/// Torrents that nobody asks for are looked at one after the other, one in this time.
inline constexpr auto content_look_cost = 25ms;
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

/// Why a connection or a transfer ended.
enum class errc {
    v2_only = 1,        ///< The torrent is v2 only; moving those comes later.
    already_added,      ///< The node already has a torrent of that info-hash.
    unknown_info_hash,  ///< A peer asked for a torrent we do not have.
    own_connection,     ///< We connected to ourselves.
    duplicate_peer,     ///< That peer is connected already.
    too_many_peers,     ///< A limit on connections was reached.
    banned,             ///< The peer sent data that fails its hash.
    not_needed,         ///< Both sides are complete.
    stopped,            ///< The transfer is being stopped.
    tracker_refused,    ///< A tracker answered with a failure.
    bad_tracker_url,    ///< A tracker URL without a host or port that we can use.
    not_connected,      ///< No connection to that peer.
    disconnected,       ///< Whoever drives this transfer ended the connection.
    hub_refused,        ///< The hub said no; its words are in `hub_session::refusal`.
    no_ping,            ///< The peer lacks the extension: no Shoal peer.
    no_answer,          ///< The peer did not answer, or sent nothing, for too long.
    no_such_piece,      ///< The torrent has no such piece or file.
    piece_is_held,      ///< The piece is here already.
    piece_is_busy,      ///< The piece is being fetched already.
    piece_not_offered,  ///< The peer does not have the piece.
    piece_refused,      ///< The peer has the piece and refuses to send it.
    piece_is_bad,       ///< The piece failed its hash again and again.
    choked,             ///< The peer serves others for so long.
    too_many_fetches,   ///< `fetches_max` pieces are being fetched by hand.
    pieces_missing,     ///< The file cannot be finished yet.
};
std::error_code make_error_code(errc) noexcept;
}  // namespace shoal::engine
export template <>
struct std::is_error_code_enum<shoal::engine::errc> : std::true_type {};

export namespace shoal::engine {
/// What happened in a transfer, told once, in order, on the home executor.
namespace event {
struct checked {};  ///< What is on disk is known; connections start.
struct piece_verified {
    piece_index piece;
};
struct piece_decayed {  ///< It was right once, and the disk has lost some of it; it is fetched again, if it may be.
    piece_index piece{};
};
struct piece_rejected {  ///< The hash was wrong; the piece is fetched again.
    piece_index piece;
};
struct completed {};  ///< All that was asked for is there, verified, under its final names.
/// The transfer stands still until the cause is gone (disk full, files changed), or what it has cannot be recorded.
struct failed {
    std::error_code why;
};
struct recovered {};  ///< It goes on after `failed`.
struct peer_joined {
    endpoint remote;
    bool outgoing;
};
struct peer_left {
    endpoint remote;
    std::error_code why;
    endpoint at;  ///< As in `peer_introduced`.
};
struct peer_banned {  ///< It sent data that fails its hash, for `ban_lifetime`. It may have left before that was found
                      ///< out.
    ip_address address;  ///< Its `customer`.
    peer_id id;
};
struct peer_introduced {  ///< A joined peer said where it listens, or will not; once for each.
    endpoint at;          ///< Where it listens; where it connected from when it does not say.
    endpoint remote;
    bool outgoing;
};
struct ping_received {  ///< And answered.
    endpoint from;
};
struct download_began {  ///< The first block of a piece came.
    endpoint from;
    piece_index piece;
};
struct upload_began {  ///< The first block of a piece goes to a peer.
    endpoint to;
    piece_index piece;
};
struct upload_finished {  ///< As many bytes as the piece has without padding went to the peer's socket.
    endpoint to;
    piece_index piece;
};
struct announced {  ///< A tracker answered.
    std::string url;
    std::size_t peers;
    std::string warning;
    std::string session;  ///< Where it takes sessions, if it is a hub: a path. See `session_url`.
};
struct announce_failed {
    std::string url;
    std::string why;  ///< The tracker's words are a stranger's: escape them.
};
struct dht_searched {   ///< The DHT was asked for peers.
    std::size_t nodes;  ///< That answered.
    std::size_t told;   ///< That were told of us.
    std::size_t peers;  ///< That were found.
};
}  // namespace event
using transfer_event =
    std::variant<event::checked, event::piece_verified, event::piece_decayed, event::piece_rejected, event::completed,
                 event::failed, event::recovered, event::peer_joined, event::peer_left, event::peer_banned,
                 event::peer_introduced, event::ping_received, event::download_began, event::upload_began,
                 event::upload_finished, event::announced, event::announce_failed, event::dht_searched>;
/// Called on the home executor; must not block and must not destroy the transfer.
using transfer_observer = std::function<void(transfer_event const&)>;
}  // namespace shoal::engine

namespace shoal::engine {
class swarm;
struct node_state;
}  // namespace shoal::engine

export namespace shoal::engine {
/// What to do with a torrent.
struct transfer_options {
    store::store_settings storage;                 ///< Where the content lies and its journal.
    std::shared_ptr<store::back_end_files> files;  ///< Instead of the disk; empty: the disk, as `storage` says.
    std::vector<endpoint> connect;                 ///< Peers to try first.
    std::vector<endpoint> hearsay = {};            ///< Of whom somebody said that they take part.
    std::vector<std::string> trackers;             ///< Besides those of the torrent; each a tier of its own.
    std::vector<bool> wanted_files;                ///< One for each file; empty: all.
    bool sequential = false;                       ///< Pieces in order instead of rarest first.
    bool is_hashed = false;                        ///< The caller has just hashed the content: nothing is read again.
    bool by_hand = false;                          ///< See `transfer::set_automatic`.
    /// Others than trackers and hubs may be told: peers, the DHT, the local network. Never of a torrent that is private
    /// (BEP 27), `by_hand` or `members_only`.
    bool is_public = true;
    bool peer_exchange = true;  ///< Tells peers of peers, and hears of them (BEP 11), where `is_public`.
    /// Serves only addresses that a tracker or a hub has named, or `connect`: for trackers that let members alone in. A
    /// member whom we have not heard of yet is heard of within `naming_patience`.
    bool members_only = false;  ///< See also `transfer::serve_members_only`.
    std::size_t peers_max = 0;  ///< Connections; 0 for `peers_max_default`.
    transfer_observer on_event;
};

/// `failed`: nothing is received; what is there and right is still given to others.
/// `seeding`: so is a folder that may not be written to, be all there or not.
enum class transfer_state { checking, downloading, seeding, failed, stopped };

/// A snapshot. Bytes count payload; rates are bytes per second over the last seconds.
struct transfer_status {
    transfer_state state = transfer_state::checking;
    std::error_code error;  ///< While `failed`.
    std::uint32_t pieces_have = 0, pieces_total = 0, pieces_checked = 0;
    std::uint32_t pieces_hashed = 0;                ///< Of those checked at the start: the journal proved the others.
    std::uint64_t bytes_total = 0, bytes_left = 0;  ///< Of what is wanted, without padding behind it.
    std::uint64_t downloaded = 0, uploaded = 0, wasted = 0;
    std::uint64_t failed_pieces = 0;
    double download_rate = 0, upload_rate = 0;
    std::size_t peers = 0, peers_known = 0;
};

/// One connected peer, for people to look at.
struct peer_status {
    endpoint remote;
    endpoint listens_at;  ///< Where others reach it; port 0 while unknown.
    std::string client;   ///< What it calls itself, a stranger's words.
    bool outgoing = false, choked_by = false, choking = false, interested = false, interesting = false;
    std::uint64_t downloaded = 0, uploaded = 0;
    double download_rate = 0, upload_rate = 0;
    std::uint32_t pieces_have = 0;
    bitfield pieces;
};

/// One torrent of a node. Shared with its owner, who keeps it until what is awaited of it has returned; its work
/// belongs to the node and ends with it, what it says stays.
class transfer {
public:
    transfer(std::unique_ptr<swarm> work) noexcept;
    ~transfer();
    transfer(transfer const&) = delete;
    transfer& operator=(transfer const&) = delete;

    metainfo::torrent const& content() const noexcept;
    transfer_status status() const;
    std::vector<peer_status> peers() const;
    /// It seeds, and nobody is connected.
    bool is_quiet() const noexcept;
    /// The pieces that are here and verified.
    bitfield const& have() const noexcept;
    /// All pieces are here, synced, and recorded in the journal: nothing of them is lost in a power cut.
    bool is_durable() const;
    /// Every address that was heard of, connected or not.
    std::vector<endpoint> known_peers() const;

    /// Waits until what is on disk is known. Fails with the store's error when it cannot be opened; what may pass, such
    /// as a full disk, is waited for. The transfer tries again either way.
    net::task<result<void>> checked();
    /// Waits until all that is wanted is there and verified. Fails with the error that stopped the transfer: only
    /// those that no waiting can mend (no permission, stopped); a full disk is waited for, see `event::failed`.
    net::task<result<void>> completed();
    /// As `transfer_options::members_only`, from now on.
    void serve_members_only();
    /// Not public any more, as `transfer_options::is_public`: a tracker said that it is for its members, for example.
    void keep_to_trackers();
    /// Tries these peers too.
    void connect(std::vector<endpoint> const& peers);
    /// What the peers of the swarm have uploaded, all whom a hub tells of: those with less are asked first.
    void learn_uploaded(std::vector<std::pair<endpoint, std::uint64_t>> const& told);

    // By hand, for a transfer that a person drives. A peer is named by the address it listens at, or by the one that it
    // connected from when it does not say. All fail with `errc::stopped` once the transfer stops.

    /// Whether the transfer connects, asks, announces and finishes files by itself. It does from the start unless
    /// `transfer_options::by_hand`; what is there is verified and served either way. When switched off, what was asked
    /// for still comes, and trackers are still told of it. A transfer begun by hand keeps connections that neither
    /// side needs.
    void set_automatic(bool is_on);
    bool is_automatic() const noexcept;
    /// Trackers are told of this peer, from the first time that it was automatic.
    bool is_announcing() const noexcept;
    /// Leaves the trackers (at most `farewell_timeout`) and not the swarm, until it is made automatic again. One call
    /// at a time.
    net::task<void> stop_announcing();
    /// Returns when the peer has shaken hands and introduced itself. Fails with `errc::duplicate_peer`,
    /// `too_many_peers`, `banned`, or what the connection failed with.
    net::task<result<void>> connect_to(endpoint peer);
    /// Returns when the connection is gone. Fails with `errc::not_connected`.
    net::task<result<void>> disconnect(endpoint peer);
    /// The time of a round trip through the peer's program. At most one each `ping_interval`, others wait. Fails with
    /// `errc::not_connected`, `no_ping`, `no_answer`.
    net::task<result<duration>> ping(endpoint peer);
    /// Asks this peer, and nobody else, for a piece; returns when it is verified and on disk. Fails with
    /// `errc::not_connected`, `piece_is_held`, `piece_is_busy`, `piece_not_offered`, `piece_refused`, `choked`,
    /// `no_answer`, `banned` (its data is bad), or what ended the connection. What came of it is kept.
    net::task<result<void>> fetch_piece(endpoint peer, piece_index piece);
    /// Reads and hashes all pieces of a file and gives it its own name. Fails with `errc::pieces_missing`, or when the
    /// disk does; then nothing has changed.
    net::task<result<void>> finish_file(std::uint32_t file);
    /// Leaves the swarm: connections end, trackers are told (at most `farewell_timeout`), the journal is written.
    net::task<void> stop();

private:
    friend struct node_state;
    std::unique_ptr<swarm> work_;
};
}  // namespace shoal::engine
