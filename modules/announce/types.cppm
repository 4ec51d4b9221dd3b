module;
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <string>
#include <vector>

export module shoal.announce:types;
import shoal.core;

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

/// One peer that a tracker names.
struct peer_address {
    endpoint at;
    std::optional<peer_id> id;
    friend bool operator==(peer_address const&, peer_address const&) = default;
};

/// What a tracker answers. Numbers are absent where the tracker does not say.
struct announce_reply {
    std::chrono::seconds interval = interval_default;  ///< When to announce again.
    std::optional<std::chrono::seconds> min_interval;  ///< Not to announce sooner than this.
    std::optional<std::uint32_t> seeders;
    std::optional<std::uint32_t> leechers;
    std::optional<std::uint32_t> downloaded;  ///< How often the torrent was completed.
    std::vector<peer_address> peers;
    std::string warning;  ///< Remote text: escape it for display.
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
}  // namespace shoal::announce
