/// What a hub and its Shoal peers say to each other over their lasting connection: bencoded messages, values in, bytes
/// out. The protocol is written down in docs/hub-protocol.md.
module;
#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

export module shoal.session;
import shoal.core;

namespace shoal::session {
/// Why a message was refused. All equal `condition::peer_fault`.
export enum class errc {
    malformed = 1,        ///< Not bencoded, not a dictionary, a field that is missing or of another kind.
    unknown_kind,         ///< A kind of message that this version does not know: pass over it.
    out_of_range,         ///< A number, a length or a bitfield outside what it may be.
    too_large,            ///< More of something than its limit.
    unsupported_version,  ///< The other side speaks another version only.
};
export std::error_code make_error_code(errc) noexcept;
}  // namespace shoal::session

export template <>
struct std::is_error_code_enum<shoal::session::errc> : std::true_type {};

export namespace shoal::session {
/// The version that both sides speak. A hub answers a hello of another one with `refused` and closes.
inline constexpr std::uint32_t version = 1;
/// Where the hub takes sessions, on the port that it serves announces on.
inline constexpr std::string_view path = "/session";

// Limits. A message beyond them is refused, and its sender with it.

/// Bytes of a torrent that is published: the metainfo of some 800 000 pieces.
inline constexpr std::size_t metainfo_max = 16u << 20;
/// Bytes of a message: a published torrent and its frame.
inline constexpr std::size_t message_max = metainfo_max + 4096;
/// Pieces of a torrent: those of `metainfo::limits`, a bitfield of 256 KiB.
inline constexpr std::uint32_t pieces_max = 1u << 21;
/// Pieces that one status tells of; whoever has more to tell sends another.
inline constexpr std::size_t changes_max = 16'384;
/// Peers that one status names as being served, and connections a peer has at most that are worth a line on a page.
inline constexpr std::size_t served_max = 512;
/// Peers in one message of a peer set; a larger set comes in several.
inline constexpr std::size_t set_max = 512;
/// Torrents of one session.
inline constexpr std::size_t torrents_max = 10'000;
/// Bytes of texts: what a client calls itself, a name, a reason.
inline constexpr std::size_t text_max = 256;

/// Proves that a new connection continues an earlier one. From the hub's random device.
using token = std::array<std::byte, 16>;

// What a peer says.

/// The first message. The hub answers `welcome`, or `wait` and in time `welcome`, or `refused`.
struct hello {
    std::uint32_t version = session::version;
    peer_id id;
    std::uint16_t port = 0;       ///< Where it accepts peers; 0: nowhere.
    std::string client;           ///< What it calls itself.
    std::optional<token> resume;  ///< Of the session that was lost.
    friend bool operator==(hello const&, hello const&) = default;
};
/// It takes part in a torrent from now on. Answered by `done` and the whole `peer_set`.
struct join {
    info_hash torrent;
    std::uint64_t size = 0;  ///< Bytes of content.
    bitfield have;           ///< At least one piece long.
    std::uint64_t uploaded = 0, downloaded = 0;
    friend bool operator==(join const&, join const&) = default;
};
/// Somebody it uploads to.
struct served {
    endpoint to;              ///< Where that peer listens, or where it connected from.
    std::uint64_t bytes = 0;  ///< Sent to it over this connection.
    std::uint64_t rate = 0;   ///< Bytes per second.
    friend bool operator==(served const&, served const&) = default;
};
/// What changed since the last one. Answered by `done` only where `is_asked`.
struct status {
    info_hash torrent;
    std::uint64_t number = 0;  ///< Changes of pieces told so far in this session, these included.
    std::vector<piece_index> gained, lost;
    std::uint64_t uploaded = 0, downloaded = 0;  ///< Bytes in all.
    std::uint64_t up_rate = 0, down_rate = 0;    ///< Bytes per second.
    std::optional<std::vector<served>> serving;  ///< All of them; nothing: as before.
    bool is_asked = false;                       ///< A person waits for the answer.
    friend bool operator==(status const&, status const&) = default;
};
/// It leaves: the hub only, or with `quits` the torrent. Answered by `done`.
struct leave {
    info_hash torrent;
    bool quits = false;
    friend bool operator==(leave const&, leave const&) = default;
};
/// Asks for the whole peer set.
struct ask_peers {
    info_hash torrent;
    friend bool operator==(ask_peers const&, ask_peers const&) = default;
};
/// Puts a torrent into the catalogue. Answered by `done` or `refused`.
struct publish {
    info_hash torrent;     ///< For the answer; the hub believes the metainfo alone.
    byte_vector metainfo;  ///< A whole .torrent file.
    friend bool operator==(publish const&, publish const&) = default;
};
/// Takes it out again, as far as this peer is concerned.
struct unpublish {
    info_hash torrent;
    friend bool operator==(unpublish const&, unpublish const&) = default;
};
using peer_message = std::variant<hello, join, status, leave, ask_peers, publish, unpublish>;

// What a hub says.

/// Of a torrent in a resumed session: the hub still knows all up to `number`.
struct resumed {
    info_hash torrent;
    std::uint64_t number = 0;
    friend bool operator==(resumed const&, resumed const&) = default;
};
/// The session begins.
struct welcome {
    std::uint32_t version = session::version;
    token resume{};
    ip_address seen_as;                     ///< The peer's address, as the hub sees it.
    std::chrono::milliseconds every{1000};  ///< How often the hub wants to hear changes, at most.
    std::vector<resumed> torrents;          ///< Those that need no new `join`.
    friend bool operator==(welcome const&, welcome const&) = default;
};
/// No place is free. The peer stays connected and in line, or comes again after that time.
struct wait {
    std::chrono::seconds length{0};
    std::uint32_t place = 0;  ///< In line; 1 is next.
    friend bool operator==(wait const&, wait const&) = default;
};
/// A peer of the set.
struct set_member {
    endpoint at;  ///< Where it accepts peers.
    std::string client;
    bool is_session = false;  ///< It holds a session; else it only announced, and `have` is absent.
    bool is_complete = false;
    std::uint64_t uploaded = 0, downloaded = 0;
    std::optional<bitfield> have;     ///< In a whole set, and where it came new.
    std::vector<piece_index> gained;  ///< In a change.
    friend bool operator==(set_member const&, set_member const&) = default;
};
/// The peers of a torrent, the receiver left out: all of them, or what changed.
struct peer_set {
    info_hash torrent;
    bool is_whole = false;  ///< Replaces what was known. Further parts of a large set follow as changes.
    std::vector<set_member> peers;
    std::vector<endpoint> gone;
    friend bool operator==(peer_set const&, peer_set const&) = default;
};
/// What a message was about.
enum class request : std::uint8_t { hello, join, status, leave, peers, publish, unpublish };
struct done {
    request what = request::join;
    info_hash torrent;
    friend bool operator==(done const&, done const&) = default;
};
struct refused {
    request what = request::hello;
    info_hash torrent;   ///< Zeros where it is about no torrent.
    std::string reason;  ///< One line for people; a stranger's words: escape them.
    friend bool operator==(refused const&, refused const&) = default;
};
using hub_message = std::variant<welcome, wait, peer_set, done, refused>;

/// The bencoded form. The caller keeps the limits.
byte_vector encode(peer_message const& message);
byte_vector encode(hub_message const& message);
/// The reverse. Fails with any `errc`; unknown keys are passed over. Takes memory for what `bytes` hold, and 64 KiB for
/// each list of pieces in them.
result<peer_message> parse_peer_message(byte_view bytes);
result<hub_message> parse_hub_message(byte_view bytes);
}  // namespace shoal::session

// The words of the protocol, for the two units that write and read them.

namespace shoal::session {
enum class kind : std::uint8_t {
    hello,
    join,
    status,
    leave,
    ask_peers,
    publish,
    unpublish,
    welcome,
    wait,
    peer_set,
    done,
    refused
};
inline constexpr std::array<std::string_view, 12> kind_names{"hello",     "join",     "status",    "leave",
                                                             "ask_peers", "publish",  "unpublish", "welcome",
                                                             "wait",      "peer_set", "done",      "refused"};
inline constexpr std::array<std::string_view, 7> request_names{"hello", "join",    "status",   "leave",
                                                               "peers", "publish", "unpublish"};

constexpr std::string_view name_of(kind what) {
    return kind_names[static_cast<std::size_t>(what)];
}
constexpr std::string_view name_of(request what) {
    return request_names[static_cast<std::size_t>(what)];
}
template <class Enum, std::size_t Count>
std::optional<Enum> named(std::array<std::string_view, Count> const& names, std::string_view name) {
    auto const at = std::ranges::find(names, name);
    if (at == names.end()) return std::nullopt;
    return static_cast<Enum>(at - names.begin());
}

namespace key {
inline constexpr std::string_view kind = "t", version = "v", id = "id", port = "port", client = "client",
                                  resume = "resume", torrent = "h", size = "size", have = "have", piece_count = "n",
                                  uploaded = "up", downloaded = "down", up_rate = "ur", down_rate = "dr",
                                  number = "seq", gained = "got", lost = "lost", serving = "to", asked = "ask",
                                  quits = "quit", metainfo = "torrent", seen_as = "ip", every = "every",
                                  torrents = "known", length = "wait", place = "place", at = "at", session = "s",
                                  complete = "c", whole = "whole", peers = "peers", gone = "gone", what = "re",
                                  reason = "why";
}  // namespace key
}  // namespace shoal::session

export namespace shoal::session {
// How a peer comes back to a hub that it lost. Source: docs/hub-protocol.md, "Rules".

inline constexpr duration reconnect_after = std::chrono::seconds{1};       ///< Doubled each time.
inline constexpr duration reconnect_after_max = std::chrono::seconds{60};  ///< Before the random factor of 0.5 to 1.5.
/// A hub has this long to answer a hello.
inline constexpr duration hello_timeout = std::chrono::seconds{30};
/// Status is never told more often than this, whatever the hub says.
inline constexpr duration every_min = std::chrono::milliseconds{50};
inline constexpr duration every_max = std::chrono::minutes{10};
/// Peers of one torrent that are remembered: more than anybody connects to.
inline constexpr std::size_t members_max = 10'000;
/// Bytes of bitfields of one peer set that are kept; what a hub tells beyond is not.
inline constexpr std::size_t member_bitfield_bytes_max = 64u << 20;

struct client_settings {
    peer_id id;
    std::uint16_t port = 0;  ///< Where this peer accepts others; 0: nowhere.
    std::string name;        ///< What it calls itself.
    std::uint64_t seed = 0;  ///< For the waits between connections.
};

/// Bytes in all and bytes per second of one torrent.
struct traffic {
    std::uint64_t uploaded = 0, downloaded = 0;
    std::uint64_t up_rate = 0, down_rate = 0;
    friend bool operator==(traffic const&, traffic const&) = default;
};

/// What a client tells its driver.
namespace client_event {
struct welcomed {  ///< The session is there; joins and publications are on their way.
    ip_address seen_as;
    bool is_resumed = false;
};
struct waiting {  ///< In line for a place.
    std::uint32_t place = 0;
    std::chrono::seconds length{0};  ///< As long as the hub says to wait.
};
struct set_changed {  ///< `client::peers` of this torrent.
    info_hash torrent;
};
struct answered {  ///< The hub did it; for `request::peers`, the whole set is here.
    request what;
    info_hash torrent;
};
struct refused {
    request what;
    info_hash torrent;
    std::string reason;  ///< A stranger's words.
};
struct lost {};  ///< The session is over; the client will come back by itself.
}  // namespace client_event
using any_client_event = std::variant<client_event::welcomed, client_event::waiting, client_event::set_changed,
                                      client_event::answered, client_event::refused, client_event::lost>;

/// A peer's end of its session with a hub, over connections that come and go. A value: the driver opens connections
/// when `wants_connection`, hands messages in and takes messages out.
///
/// What the caller says of torrents is kept, so that a new connection is told again: by the hub's memory where it
/// resumes, by new joins and publications where not. What the hub has not answered is said again either way.
class client {
public:
    client(client_settings settings, time_point now);

    // The connection.

    /// It is time to open one, and none is there or being opened.
    bool wants_connection(time_point now) const noexcept;
    /// The driver begins to open one.
    void opening() noexcept { state_ = state::opening; }
    /// It is open: hello goes out.
    void connected(time_point now);
    /// One whole message. Fails with `errc`: close the connection then, and say `disconnected`.
    result<void> received(byte_view message, time_point now);
    /// It could not be opened, or ended.
    void disconnected(time_point now);
    /// `deadline()` has passed. Fails with `errc::malformed` when the hub never answered hello: as in `received`.
    result<void> wake(time_point now);
    time_point deadline() const;
    /// The next message to send; take them while the connection is there.
    std::optional<byte_vector> next_message(time_point now);
    std::optional<any_client_event> next_event();

    // Torrents.

    /// Takes part in a torrent from now on. Fails with `errc::too_large` beyond `torrents_max`.
    result<void> join(info_hash const& torrent, std::uint64_t size, bitfield have, traffic const& so_far);
    void gained(info_hash const& torrent, piece_index piece);
    void lost(info_hash const& torrent, piece_index piece);
    /// All that is there now. What was lost is told before what was gained: the hub would else see a download complete
    /// that never was.
    void has_now(info_hash const& torrent, bitfield const& have);
    /// `serving` is everybody it uploads to, at most `served_max` of them are told.
    void update(info_hash const& torrent, traffic const& now_at, std::vector<served> serving);
    /// Tells what changed at once, and has the hub answer.
    void ask_status(info_hash const& torrent);
    void ask_peers(info_hash const& torrent);
    /// Leaves the hub with this torrent, or with `quits` the torrent.
    void leave(info_hash const& torrent, bool quits);
    /// Into the catalogue; `metainfo` is a whole .torrent file of at most `metainfo_max` bytes.
    result<void> publish(info_hash const& torrent, std::shared_ptr<byte_vector const> metainfo);
    /// Out of the catalogue; also what an earlier client of this node published.
    void unpublish(info_hash const& torrent);

    // State.

    /// Welcomed, and the connection is there.
    bool is_open() const noexcept { return state_ == state::open; }
    bool has_joined(info_hash const& torrent) const { return torrents_.contains(torrent); }
    /// As last told; kept when the session is lost, until the next whole set. Empty for torrents that were not joined.
    std::map<endpoint, set_member> const& peers(info_hash const& torrent) const;

private:
    enum class state : std::uint8_t { absent, opening, greeting, waiting, open };
    struct change {
        piece_index piece;
        bool is_gain;
    };
    struct joined {
        std::uint64_t size = 0;
        bitfield have;
        session::traffic traffic;
        std::vector<served> serving;
        bool is_told = false;         // the hub knows of it, in this connection or a resumed one
        std::size_t joins_asked = 0;  // that the hub has not answered in this connection
        std::vector<change> changes;  // since the last join
        std::size_t told = 0;         // of `changes`
        bool has_news = false;        // in `traffic`
        bool has_serving_news = false;
        bool is_urgent = false;  // do not wait for the next turn
        bool is_asked = false;
        time_point told_at{};
        time_point due = time_point::max();  // as it stands in `due_`
        std::map<endpoint, set_member> peers;
        std::size_t bitfield_bytes = 0;
    };
    struct publication {
        std::shared_ptr<byte_vector const> metainfo;
        bool is_answered = false;
    };
    struct order {  // what to say; the words are made when it is taken
        request what;
        info_hash torrent;
        bool quits = false;
    };

    double random_factor() noexcept;
    void say(request what, info_hash const& torrent, bool quits = false);
    void piece_changed(info_hash const& torrent, piece_index piece, bool is_gain);
    time_point due_at(joined const& of) const;
    void reschedule(info_hash const& torrent, joined& of);
    std::optional<byte_vector> encode_order(order const& next);
    byte_vector encode_status(info_hash const& torrent, joined& of, time_point now);
    void answered(request what, info_hash const& torrent);
    void on(welcome& said, time_point now);
    void on(wait& said, time_point now);
    void on(peer_set& said, time_point now);
    void on(done& said, time_point now);
    void on(refused& said, time_point now);
    void take_in(joined& to, set_member&& member);
    void drop(joined& from, endpoint const& peer);

    client_settings settings_;
    std::uint64_t random_;
    state state_ = state::absent;
    time_point next_try_;
    time_point hello_at_{};
    unsigned tries_ = 0;  // since the last welcome
    duration every_ = std::chrono::seconds{1};
    std::optional<token> token_;
    endpoint self_;  // as the hub tells others: changes come to everybody as they are
    std::map<info_hash, joined> torrents_;
    std::set<std::pair<time_point, info_hash>> due_;  // whose status goes out when
    std::map<info_hash, publication> published_;
    std::set<info_hash> withdrawn_;  // that the hub may not have heard of; at most `torrents_max`
    std::deque<order> orders_;
    std::deque<any_client_event> events_;
};
}  // namespace shoal::session
