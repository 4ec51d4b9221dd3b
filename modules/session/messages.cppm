module;
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

export module shoal.session:messages;
import shoal.core;
import :error;

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
