/// How peers are found, both sides: the tracker protocol and local discovery; values in, bytes out. Source: BEP 3, 7,
/// 14, 15, 21, 23, 24, 31, 41, 48.
module;
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

export module shoal.announce;
import shoal.core;

namespace shoal::announce {
/// Why a query, a packet or a reply was refused. All equal `condition::peer_fault`, but `timed_out` is `transient`.
export enum class errc {
    bad_escape = 1,   ///< A `%` without two hexadecimal digits after it.
    too_long,         ///< A query, a reply or a local announce beyond its limit.
    bad_info_hash,    ///< No info-hash, or one that is not 20 bytes.
    bad_peer_id,      ///< No peer id, or one that is not 20 bytes.
    bad_port,         ///< No port, or one that is no number up to 65535; in a local announce also port 0.
    bad_number,       ///< Something else than digits where a number belongs.
    too_many_hashes,  ///< More torrents than `scrape_hashes_max`, or `local_torrents_max`.
    bad_reply,        ///< A reply that is no dictionary, or says nothing.
    bad_peers,        ///< A list of peers whose length or kind is wrong.
    truncated,        ///< A packet that is too short for what it claims to be.
    unknown_action,   ///< A packet of no known kind, or a connect without the protocol's number.
    timed_out,        ///< No answer to the last of the retransmissions.
    bad_announce,     ///< Another first line, a NUL, or a line that is no header, where BEP 14 wants an announce.
};
export std::error_code make_error_code(errc) noexcept;
}  // namespace shoal::announce

export template <>
struct std::is_error_code_enum<shoal::announce::errc> : std::true_type {};

export namespace shoal::announce {
// Limits. What strangers send beyond them is cut or refused, as each says.

/// Bytes of an HTTP query: 70 fully escaped info-hashes of a scrape have 5 KB.
inline constexpr std::size_t query_bytes_max = 8 * 1024;
/// Info-hashes in one scrape, by HTTP or UDP: as many as a packet within a usual MTU carries (BEP 15: "about 74").
inline constexpr std::size_t scrape_hashes_max = 70;
/// Bytes of an HTTP reply that a client reads; 200 peers in dictionaries have 20 KB.
inline constexpr std::size_t reply_bytes_max = 1024 * 1024;
/// Peers that a client takes from one reply; more are dropped. No swarm needs more at a time.
inline constexpr std::size_t reply_peers_max = 500;
/// Bytes of a text that a tracker sends (failure, warning); the rest is cut off.
inline constexpr std::size_t reply_text_max = 1024;
/// Bytes of a tracker id, which is sent back with each announce; a longer one is ignored.
inline constexpr std::size_t tracker_id_max = 256;
/// A client waits at least and at most this long between announces, whatever the tracker says.
inline constexpr std::chrono::seconds interval_min{60};
inline constexpr std::chrono::seconds interval_max{86'400};
/// Bytes of `announce_reply::session`; a longer one is ignored.
inline constexpr std::size_t session_path_max = 256;
/// Where a tracker names no interval.
inline constexpr std::chrono::seconds interval_default{1800};
/// Bytes of path and query of a URL that are sent by UDP (BEP 41), so that a packet stays within a usual MTU.
inline constexpr std::size_t url_data_max = 1024;

/// What happened since the last announce. Source: BEP 3, "event"; `paused`: BEP 21.
enum class event : std::uint8_t { none, started, stopped, completed, paused };

/// `announce_request::left` of a client that does not know yet (magnet link): certainly not complete.
inline constexpr std::uint64_t left_unknown = std::numeric_limits<std::int64_t>::max();

/// What a peer tells a tracker. Source: BEP 3, "tracker GET requests"; BEP 15.
struct announce_request {
    info_hash torrent;
    peer_id peer;
    std::uint16_t port = 0;
    std::uint64_t uploaded = 0;         ///< Bytes since `started`.
    std::uint64_t downloaded = 0;       ///< Bytes since `started`.
    std::uint64_t left = left_unknown;  ///< Bytes missing; 0 for a seeder. Up to `left_unknown`.
    event what = event::none;
    std::optional<std::uint32_t> peers_wanted;  ///< Nothing: as many as the tracker likes.
    std::uint32_t key = 0;                      ///< Tells the peer from others behind its address; a secret.
    std::optional<ip_address> ip;  ///< Where the peer says it is. A tracker must not believe strangers (class I2).
    bool is_compact = true;        ///< BEP 23; else peers are listed as dictionaries.
    bool no_peer_id = false;       ///< In dictionaries, leave the peer ids out.
    std::string tracker_id;        ///< As the last reply gave it.
};

/// What a tracker answers. Numbers are absent where the tracker does not say.
struct announce_reply {
    std::chrono::seconds interval = interval_default;  ///< When to announce again.
    std::optional<std::chrono::seconds> min_interval;  ///< Not to announce sooner than this.
    std::optional<std::uint32_t> seeders;
    std::optional<std::uint32_t> leechers;
    std::optional<std::uint32_t> downloaded;  ///< How often the torrent was completed.
    std::vector<endpoint> peers;
    std::vector<std::optional<peer_id>> ids;  ///< Of `peers`, one for each; empty where none is known.
    std::string warning;                      ///< Remote text: escape it for display.
    std::string tracker_id;
    std::optional<ip_address> external_ip;  ///< How the tracker sees us. Source: BEP 24.
    std::string session;  ///< Where a Shoal hub takes sessions; empty elsewhere. docs/hub-protocol.md.
};

/// The numbers of one torrent. Source: BEP 48.
struct scrape_entry {
    info_hash torrent;
    std::uint32_t seeders = 0;
    std::uint32_t leechers = 0;
    std::uint32_t downloaded = 0;
    friend bool operator==(scrape_entry const&, scrape_entry const&) = default;
};
struct scrape_reply {
    std::vector<scrape_entry> torrents;
    std::optional<std::chrono::seconds> min_interval;
};

/// How the reason of a Shoal hub begins that wants a passkey, or another one; `peer` ends with status 8 then.
inline constexpr std::string_view not_permitted = "not permitted: announce by the URL with your passkey";

/// A tracker's refusal. Source: BEP 3, "failure reason"; BEP 31.
struct failure {
    std::string reason;  ///< Remote text: escape it for display.
    std::optional<std::chrono::minutes> retry_in;
    bool is_final = false;  ///< "never": do not ask this tracker for this torrent again.
};

/// The bytes of `text` as they stand in a query: all but letters, digits and `-._~` as `%XX`.
std::string percent_encoded(byte_view bytes);
/// The bytes that `text` stands for. `+` is itself: in a query of BEP 3 it is no space.
/// Fails with `errc::bad_escape`.
result<std::string> percent_decoded(std::string_view text);

/// The URL to get for an announce: `announce_url` with the parameters behind its own query, and no fragment.
std::string announce_target(std::string_view announce_url, announce_request const& request);
/// The scrape URL that belongs to an announce URL; nothing where the last part of its path does not start with
/// `announce`. Source: BEP 48.
std::optional<std::string> scrape_url(std::string_view announce_url);
/// The URL to get for a scrape of `torrents`.
std::optional<std::string> scrape_target(std::string_view announce_url, std::span<info_hash const> torrents);

// A tracker that lets only its members in knows them by a passkey: a secret parameter of the announce URL, the one form
// that every client can be given, by HTTP and by UDP (BEP 41).

/// The passkey in a URL, a path with a query, or BEP 41's URL data; nothing where there is none.
std::optional<std::string> passkey_of(std::string_view url);
/// The URL without its passkey: what may be passed on, and what tells trackers apart.
std::string without_passkey(std::string_view url);
/// The URL as logs may show it: other trackers have their members' keys in the path or in parameters of any name. Each
/// part of the path of 16 letters and digits or more stands as `***`; user and password, query and fragment are left
/// out. What is no URL with a host (a name, a magnet link) loses its passkey alone.
std::string without_secrets(std::string_view url);
/// Whether the path of an announce URL of http or https ends with `/announce` and its query, if any, is a passkey
/// alone. A torrent that names another URL of the local network may be after something else there (class J1).
bool looks_like_tracker(std::string_view url);
/// `url`, which has none, with the passkey of `from`, where that has one.
std::string with_passkey_of(std::string_view from, std::string url);

/// Reads the query of an announce, still percent-encoded, without its `?`.
///
/// `info_hash`, `peer_id` and `port` are needed. Of a key that is repeated the first counts; unknown keys and events
/// are passed over; negative and too large byte counts are clamped (class I7). Fails with `bad_escape`, `too_long`,
/// `bad_info_hash`, `bad_peer_id`, `bad_port`, `bad_number`.
result<announce_request> parse_http_query(std::string_view raw_query);
/// Reads the query of a scrape: each `info_hash` of it. None means all torrents, which a tracker may refuse.
/// Fails with `bad_escape`, `too_long`, `bad_info_hash`, `too_many_hashes`.
result<std::vector<info_hash>> parse_scrape_query(std::string_view raw_query);

/// Reads the body of a reply to an announce: compact peers (BEP 23), IPv6 peers (BEP 7) and peers as dictionaries, also
/// several forms at once.
///
/// The interval is clamped to `interval_min` and `interval_max`; peers with port 0, with a name instead of an address,
/// or with an address that is nobody's are dropped, those beyond `reply_peers_max` too.
/// Fails with `too_long`, `bad_reply`, `bad_peers`, or what `bencode::decode` says.
result<std::variant<announce_reply, failure>> parse_http_reply(byte_view body);
/// Reads the body of a reply to a scrape. Entries that do not name a torrent are dropped.
result<std::variant<scrape_reply, failure>> parse_http_scrape_reply(byte_view body);

/// The body for an announce. `asked` says in which form; peers of IPv6 go to `peers6` in the compact one.
std::string encode_http_reply(announce_reply const& reply, announce_request const& asked);
std::string encode_http_scrape_reply(scrape_reply const& reply);
/// The body of a refusal. It goes with status 200: some clients do not read the body of another one.
std::string encode_http_failure(failure const& why);
}  // namespace shoal::announce

// All numbers are big-endian. Source: BEP 15; the options behind an announce: BEP 41.
export namespace shoal::announce {
enum class udp_action : std::uint32_t { connect = 0, announce = 1, scrape = 2, error = 3 };
/// What a connect request starts with, in place of a connection id.
inline constexpr std::uint64_t udp_protocol_id = 0x41727101980;
/// Bytes of a connect request and of its reply: an address that is not proven gets back no more than it sent.
inline constexpr std::size_t udp_connect_size = 16;
/// Bytes of an announce request without options.
inline constexpr std::size_t udp_announce_size = 98;

// Requests, as a tracker sees them.
struct udp_connect {
    std::uint32_t transaction = 0;
};
struct udp_announce {
    std::uint64_t connection = 0;
    std::uint32_t transaction = 0;
    announce_request request;
    std::string url_data;  ///< Path and query of the URL that the client was given; cut at `url_data_max`.
};
struct udp_scrape {
    std::uint64_t connection = 0;
    std::uint32_t transaction = 0;
    std::vector<info_hash> torrents;  ///< The first `scrape_hashes_max`.
    bool is_cut = false;              ///< There were more.
};
using udp_request = std::variant<udp_connect, udp_announce, udp_scrape>;

/// Reads one request. Fails with `truncated`, `unknown_action`.
result<udp_request> parse_udp_request(byte_view packet);

void encode(byte_vector& out, udp_connect const& request);
/// `url_data` is sent in as many options as it needs.
void encode(byte_vector& out, udp_announce const& request);
void encode(byte_vector& out, udp_scrape const& request);

// Replies. `encode_...` append one packet to `out`.
struct udp_connected {
    std::uint32_t transaction = 0;
    std::uint64_t connection = 0;
};
struct udp_announced {
    std::uint32_t transaction = 0;
    announce_reply reply;
};
struct udp_scraped {
    std::uint32_t transaction = 0;
    std::vector<scrape_entry> torrents;  ///< In the order of the request, without the names.
};
struct udp_error {
    std::uint32_t transaction = 0;
    std::string message;  ///< Remote text, cut at `reply_text_max`.
};
using udp_reply = std::variant<udp_connected, udp_announced, udp_scraped, udp_error>;

/// The address family of a conversation: peers in announce replies are of the same.
enum class udp_family : std::uint8_t { v4, v6 };

/// Reads one reply. Intervals are clamped and peers dropped as in `parse_http_reply`.
/// Fails with `truncated`, `unknown_action`, `bad_peers`.
result<udp_reply> parse_udp_reply(byte_view packet, udp_family family);

void encode_udp_connected(byte_vector& out, udp_connected const& reply);
/// The header of an announce reply, and of `peers` those of the family, as many as fit in `bytes_max`.
void encode_udp_announced(byte_vector& out, std::uint32_t transaction, announce_reply const& reply, udp_family family,
                          std::size_t bytes_max);
void encode_udp_scraped(byte_vector& out, std::uint32_t transaction, std::span<scrape_entry const> torrents);
void encode_udp_error(byte_vector& out, std::uint32_t transaction, std::string_view message);

}  // namespace shoal::announce

namespace shoal::announce {
/// The peers of one family as BEP 23 and BEP 7 have them, address and port one after the other; the first `most`.
void append_compact(byte_vector& out, std::span<endpoint const> peers, udp_family family, std::size_t most);
}  // namespace shoal::announce

export namespace shoal::announce {
/// A tracker honours a connection id this long after it gave it. Source: BEP 15, "two minutes".
inline constexpr std::chrono::seconds connection_id_lifetime{120};

/// Makes and checks the connection ids of a UDP tracker without remembering any.
///
/// An id is the second it was made in (16 bits) and a keyed hash of that second, the address and the port (48 bits).
/// Only who receives packets at an address learns its id, so that nobody can announce in another's name or have replies
/// sent there (class I1).
class connection_ids {
public:
    /// `secret` is from a random device.
    explicit connection_ids(siphash_key const& secret) noexcept : secret_(secret) {}

    std::uint64_t make(endpoint const& client, time_point now) const noexcept;
    /// Whether `id` was made for `client` no longer than `connection_id_lifetime` ago. Constant time.
    bool accepts(std::uint64_t id, endpoint const& client, time_point now) const noexcept;

private:
    std::uint64_t id_of(endpoint const& client, std::uint16_t second) const noexcept;
    siphash_key secret_;
};

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

// Local service discovery: peers of one network find each other by multicast, without a tracker. Source: BEP 14.
export namespace shoal::announce {
/// Where local announces are sent and heard. Source: BEP 14, "Protocol".
endpoint local_group_v4() noexcept;  ///< 239.192.152.143:6771
endpoint local_group_v6() noexcept;  ///< [ff15::efc0:988f]:6771

/// Bytes of a local announce, so that it stays within a usual MTU. Source: BEP 14, "Protocol". A longer one is refused.
inline constexpr std::size_t local_announce_bytes_max = 1400;
/// Torrents of a local announce: as many as fit in its bytes beside the shortest header that BEP 14 gives.
inline constexpr std::size_t local_torrents_max = 25;
/// Bytes of a cookie. Clients send 8 to 40; a longer one is ignored.
inline constexpr std::size_t local_cookie_max = 64;

/// One datagram: who takes part in which swarms. Where he is, its source address says. Source: BEP 14, "Protocol".
struct local_announce {
    std::uint16_t port = 0;           ///< Where the sender takes connections.
    std::vector<info_hash> torrents;  ///< Each once, in the order of the datagram.
    std::string cookie;               ///< By which the sender knows his own; empty for none.
    friend bool operator==(local_announce const&, local_announce const&) = default;
};

/// How many torrents fit in one local announce to `group` with such a cookie.
std::size_t local_torrents_that_fit(endpoint const& group, std::string_view cookie);
/// The datagram to send to `group`, with the first `local_torrents_that_fit` torrents. A cookie that is too long or has
/// other bytes than visible ASCII is left out.
std::string encode(local_announce const& announce, endpoint const& group);
/// Reads one datagram.
///
/// The names of headers count in any case and in any order, with or without spaces around their values, their lines
/// end with or without CR, and what comes after an empty line is nobody's. Of `Port` and `cookie` the first counts;
/// `Host` and unknown headers are passed over. Fails with `too_long`, `bad_announce`, `bad_port`,
/// `bad_info_hash`, `too_many_hashes`.
result<local_announce> parse_local_announce(byte_view datagram);

/// Each torrent is announced so often. Source: BEP 14, "Usage": "every 5 minutes".
inline constexpr std::chrono::seconds local_interval{300};
/// A torrent is not announced sooner again than this, whoever asks. Source: BEP 14, "Usage", once "per minute".
inline constexpr std::chrono::seconds local_interval_min{60};
/// An announce of somebody new is answered at a random moment within this time, so that not all who hear it speak at
/// once.
inline constexpr std::chrono::seconds local_answer_within{2};
/// Who was not heard for this long is new when heard again: three announces got lost.
inline constexpr std::chrono::seconds local_memory{3 * local_interval + local_interval_min};
/// Neighbours that are remembered, each once for each torrent, 100 bytes each; beyond them nobody counts as new.
inline constexpr std::size_t local_neighbours_max = 4096;
/// Datagrams a second that are read, and how many at once: a client with a thousand torrents sends some 50 in a row,
/// hundreds where each datagram names one torrent. Each costs some microseconds. What comes faster is passed over.
inline constexpr pace local_datagrams{.burst = 400, .per_second = 100};
/// The same for one source.
inline constexpr pace local_datagrams_of_one{.burst = 200, .per_second = 20};
/// Sources whose rate is known at a time; beyond them a new one is not heard until others have been silent.
inline constexpr std::size_t local_sources_max = 1024;

/// Somebody on the local network who takes part in a swarm of ours.
struct local_peer {
    info_hash torrent;
    endpoint at;
    friend bool operator==(local_peer const&, local_peer const&) = default;
};

/// One peer's part in local discovery in one multicast group: which torrents to announce and when, and who else is
/// there. Source: BEP 14, "Usage".
///
/// The driver sends what `next_datagram` gives to the group, and hands in what arrives from it. A torrent that is
/// private (BEP 27) does not belong here.
class local_discovery {
public:
    /// `port` is where we take connections; 0 for nowhere: then we only listen. `token` is random: what carries it is
    /// ours. It may be the same for both groups.
    local_discovery(endpoint const& group, std::uint16_t port, std::uint64_t token);

    // Inputs. Each may change every output.
    /// We take part in the swarm: announced at once, or when its minute has passed.
    void add(info_hash const& torrent, time_point now);
    /// We do not any more.
    void remove(info_hash const& torrent, time_point now);
    /// A datagram arrived from `from`. Who it names in swarms of ours, seen before or not; the port is the announced
    /// one.
    ///
    /// Passed over: ours, what cannot be read, what comes too fast, and what comes from link-local addresses of IPv6,
    /// where nobody can connect to without their interface. No router lets the group's datagrams in, so whoever is
    /// heard is near, whatever his address; a neighbour can lie about it, and what he says is hearsay.
    std::vector<local_peer> receive(byte_view datagram, endpoint const& from, time_point now);

    // Outputs.
    /// The next datagram to send to the group; nothing when none is due. Ask until there is none.
    std::optional<std::string> next_datagram(time_point now);
    /// When to ask again; `time_point::max()` when nothing will be due.
    time_point deadline() const noexcept;

    endpoint const& group() const noexcept { return group_; }

private:
    struct schedule {
        std::optional<time_point> announced;  // the last time
        time_point due;
    };
    bool is_heeded(ip_address const& source, time_point now);
    bool is_new(local_peer const& peer, time_point now);
    void answer(info_hash const& torrent, time_point now);
    void set_due(info_hash const& torrent, schedule& which, time_point due);

    endpoint group_;
    std::uint16_t port_;
    std::uint64_t token_;
    std::string cookie_;
    std::uint64_t answers_ = 0;
    std::map<info_hash, schedule> ours_;
    std::set<std::pair<time_point, info_hash>> due_;  // each of `ours_`
    std::map<info_hash, time_point> left_;            // removed less than a minute after their last announce
    std::map<std::pair<info_hash, endpoint>, time_point> neighbours_;  // when they were last heard
    budget all_{local_datagrams};
    std::map<ip_address, budget> sources_;
    time_point sources_pruned_ = time_point::min();  // a flood must not make each of its datagrams a walk through all
    time_point neighbours_pruned_ = time_point::min();
};
}  // namespace shoal::announce
