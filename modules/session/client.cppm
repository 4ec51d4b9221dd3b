module;
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <variant>
#include <vector>

export module shoal.session:client;
import shoal.core;
import :messages;

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
/// resumes, by new joins and publications where not.
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
    /// `serving` is everybody it uploads to, at most `served_max` of them are told.
    void update(info_hash const& torrent, traffic const& now_at, std::vector<served> serving);
    /// Tells what changed at once, and has the hub answer.
    void ask_status(info_hash const& torrent);
    void ask_peers(info_hash const& torrent);
    /// Leaves the hub with this torrent, or with `quits` the torrent.
    void leave(info_hash const& torrent, bool quits);
    /// Into the catalogue; `metainfo` is a whole .torrent file of at most `metainfo_max` bytes.
    result<void> publish(info_hash const& torrent, std::shared_ptr<byte_vector const> metainfo);
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
        std::vector<change> changes;  // since the last join
        std::size_t told = 0;         // of `changes`
        bool has_news = false;        // in `traffic`
        bool has_serving_news = false;
        bool is_urgent = false;  // do not wait for the next turn
        bool is_asked = false;
        time_point told_at{};
        std::map<endpoint, set_member> peers;
        std::size_t bitfield_bytes = 0;
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
    std::optional<byte_vector> encode_order(order const& next);
    byte_vector encode_status(info_hash const& torrent, joined& of, time_point now);
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
    std::map<info_hash, std::shared_ptr<byte_vector const>> published_;
    std::deque<order> orders_;
    std::deque<any_client_event> events_;
};
}  // namespace shoal::session
