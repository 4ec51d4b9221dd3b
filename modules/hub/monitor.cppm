module;
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

export module shoal.hub:monitor;
import shoal.core;
import :roster;

export namespace shoal::hub {
/// Whether a browser that names this `Host` talks to us on purpose: an IP address, `localhost`, or one of `names`. Any
/// other name may be an attacker's that he lets point at us (DNS rebinding, class K1). Case and port do not matter.
bool is_our_host(std::string_view host, std::vector<std::string> const& names);
/// Whether a page of this `Origin` may ask: none (no page asks), or the one that we served under `host`.
bool is_our_origin(std::string_view origin, std::string_view host);
}  // namespace shoal::hub

// The monitor page, compiled in: no path of a request ever reaches the file system.

export namespace shoal::hub {
/// One file of the page. All of it lasts as long as the program.
struct page_file {
    std::string_view path;          ///< As it is asked for, without the slash in front: "index.html", "page.js".
    std::string_view content_type;  ///< For the header of that name.
    std::string_view bytes;
};

/// The files of the page, `index.html` first. Made from `modules/hub/page` by `cmake/ShoalPage.cmake`.
std::span<page_file const> page_files() noexcept;

/// What is known of a shared torrent without asking the catalogue.
struct shared_torrent {
    std::string name;
    std::uint64_t size = 0;
    std::uint32_t pieces = 0, piece_length = 0, file_count = 0;
    bool is_private = false;
    std::int64_t added_at = 0;  ///< Milliseconds since 1970.
    std::uint64_t completed = 0;
    std::set<std::string> owners;
};

/// Numbers that the page shows and the roster does not know.
struct monitor_numbers {
    std::size_t registry_peers = 0, registry_torrents = 0;
    std::uint64_t announces_http = 0, announces_udp = 0, not_permitted = 0;
};

/// A line of the log of events.
struct log_line {
    std::uint64_t id = 0;
    std::int64_t at = 0;  ///< Milliseconds since 1970.
    happening what;
};

/// Limits of what the monitor shows and keeps.
inline constexpr std::size_t log_lines_max = 1000;
inline constexpr std::size_t log_lines_shown = 200;
inline constexpr std::size_t history_max = 900;
inline constexpr std::chrono::seconds history_step{2};
/// Events kept for pages that come back, and their bytes together.
inline constexpr std::size_t events_kept = 240;
inline constexpr std::size_t event_bytes_kept = 8u << 20;
/// Objects of each kind in the stream of events; the rest is found by the API.
inline constexpr std::size_t objects_shown = 2000;
/// Bytes of bitfields in one answer; the peers that are left have none listed, nor themselves.
inline constexpr std::size_t bitfield_bytes_shown = 8u << 20;
/// Changes of peers that only announce in one event, and lines of the log: what strangers can cause without end must
/// not swell what each page is sent. Further changes wait for the next event, further lines are in the API.
inline constexpr std::size_t announced_changes_max = 250;
/// And so many wait; beyond that pages are sent a new snapshot instead.
inline constexpr std::size_t announced_waiting_max = 50'000;
inline constexpr std::size_t event_lines_max = log_lines_shown;
/// Cells of a picture of pieces.
inline constexpr std::uint32_t cells_max = 240;

/// What the page and the API show, as JSON, and how it changes: a numbered stream of events. It has no socket and no
/// clock. The forms are in docs/api.md.
class monitor {
public:
    /// `boot` tells one run of the hub from another; `started_at` is the wall time of `started`, in milliseconds.
    monitor(roster const& nodes, std::string boot, std::int64_t started_at, time_point started);

    /// Shared torrents, kept by the owner of the catalogue; call `changed` with what it touches.
    std::map<info_hash, shared_torrent> shared;
    void changed(info_hash const& torrent) { pending_.torrents.insert(torrent); }
    std::optional<std::size_t> nodes_max;
    std::string version;  ///< Of the program.

    /// Takes news in; makes an event of them when somebody listens. Call about twice a second.
    void update(touched news, std::vector<happening> happened, monitor_numbers const& numbers, time_point now);

    // The stream

    /// Whether somebody listens; without listeners no events are made.
    void listen() { ++listeners_; }
    void unlisten() { --listeners_; }
    std::size_t listeners() const noexcept { return listeners_; }
    /// The events that bring a page up to date which has `last_id` (empty: none), in the form of server-sent events:
    /// what it missed, or a whole snapshot. `position` is set to the number of the last.
    std::string catch_up(std::string_view last_id, std::uint64_t& position, time_point now);
    /// The events after `position`, which is moved; a snapshot where they are not kept any more.
    std::vector<std::shared_ptr<std::string const>> after(std::uint64_t& position, time_point now);
    std::uint64_t last() const noexcept { return sequence_; }

    // The API: bodies of answers.

    std::string status_json(monitor_numbers const& numbers, time_point now) const;
    /// Nodes with a number past `after`, `limit` at most, and `next` where there are more.
    std::string nodes_json(node_number after, std::size_t limit) const;
    /// A page of shared and active torrents by hash; `wanted` names them in order.
    std::string torrents_json(std::vector<info_hash> const& wanted, std::size_t total,
                              std::optional<std::string> const& next) const;
    /// All torrents that are shared or active, by hash.
    std::set<info_hash> torrents() const;
    bool knows(info_hash const& torrent) const;
    /// With `files` as JSON text of an array.
    std::string torrent_json(info_hash const& torrent, std::string const& files) const;
    /// `objects_shown` at most; `more` tells whether there are others.
    std::string transfers_json() const;
    std::string history_json(time_point now) const;
    std::string log_json(std::size_t limit) const;
    std::string metrics(monitor_numbers const& numbers, time_point now) const;

    std::int64_t wall(time_point at) const;

private:
    struct event {
        std::uint64_t number;
        std::shared_ptr<std::string const> text;
    };
    std::string const& snapshot(time_point now);
    touched take_pending();
    /// Of all members together.
    traffic all_traffic() const;
    boost::json::object status_object(monitor_numbers const& numbers, traffic const& all, time_point now) const;
    /// Counting the copies of a torrent takes a step for each piece of each peer: done again when it has changed, but
    /// the seldomer the longer it takes.
    boost::json::value health_of(info_hash const& torrent, membership const& of) const;
    boost::json::object object_of(info_hash const& torrent) const;

    roster const& nodes_;
    std::string boot_;
    std::int64_t started_at_;
    time_point started_;
    std::uint64_t sequence_ = 0;
    std::size_t listeners_ = 0;
    std::string snapshot_;                 // pages that come together get the same
    std::uint64_t snapshot_sequence_ = 0;  // whose it is
    std::deque<event> events_;
    std::size_t event_bytes_ = 0;
    struct known_health {
        boost::json::value copies;
        time_point good_until{};  ///< Though the torrent has changed.
        bool has_changed = false;
        bool is_owed = false;  ///< Pages were told the old one.
    };
    mutable std::map<info_hash, known_health> health_;
    time_point updated_at_{};
    touched pending_;
    std::pair<info_hash, node_number> last_announced_;  // taken of `pending_`
    std::deque<log_line> log_;
    std::uint64_t last_line_ = 0;
    std::map<std::pair<info_hash, node_number>, std::set<std::string>> transfers_of_;  // keys of the last event
    struct sample {
        std::uint64_t up_rate, down_rate, nodes;
        double announces_rate;
    };
    std::deque<sample> history_;
    time_point sampled_at_{};
    std::uint64_t sampled_announces_ = 0;
    double announces_rate_ = 0;
    monitor_numbers numbers_;
};
}  // namespace shoal::hub

// The objects of docs/api.md, one by one.

namespace shoal::hub {
std::uint64_t exact(std::uint64_t number);

std::string id_of(node_number number);
std::string hex(info_hash const& hash);
std::string peer_key(info_hash const& torrent, node_number of);
std::string base64(byte_view bytes);

boost::json::object node_object(node const& of, std::int64_t since_at);
/// Null where the torrent is not shared, or where nobody takes part.
boost::json::object torrent_object(info_hash const& hash, shared_torrent const* shared, membership const* active,
                                   boost::json::value health);
/// Copies in the swarm: what every piece has, and the share of pieces with one more. Null where nobody tells.
boost::json::value copies_of(membership const& of);
boost::json::object peer_object(info_hash const& torrent, node const& who, member const& of);
/// Whom a member serves, by key.
std::map<std::string, boost::json::object> transfers_of(roster const& nodes, info_hash const& torrent, node const& who,
                                                        member const& of);
boost::json::object log_object(log_line const& line);
}  // namespace shoal::hub
