module;
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <system_error>
#include <variant>
#include <vector>

export module shoal.wire:protocol;
import shoal.core;

export namespace shoal::wire {
/// Why a conversation cannot go on. Each equals `condition::peer_fault` but where it says otherwise.
enum class errc {
    not_bittorrent = 1,       ///< The first bytes are no handshake.
    bad_length,               ///< A message has a length that its kind cannot have.
    too_long,                 ///< A message is longer than any we accept.
    out_of_range,             ///< A piece, an offset or a length lies outside the torrent.
    bad_bitfield,             ///< A bitfield with spare bits set.
    late_bitfield,            ///< Have-all, have-none or a bitfield that adds nothing, after the start.
    not_negotiated,           ///< A message of the fast extension without the fast extension.
    unasked_reject,           ///< A reject of a request that was never sent.
    unasked_blocks,           ///< Too many blocks that were never asked for.
    request_too_long,         ///< A request for more than any client asks at once.
    flood,                    ///< More idle messages than a sound client sends.
    never_reads,              ///< Answers pile up and the peer does not read them.
    bad_extension_handshake,  ///< An extension handshake that is no dictionary or breaks a bound.
    no_metadata,              ///< The peer does not send the info dictionary.
    bad_metadata,             ///< What it sends of the info dictionary cannot be right.
    silent,                   ///< Nothing was received for a long time (`condition::transient`).
    stalled,                  ///< The peer takes no more bytes (`condition::transient`).
    dead_destination,         ///< Memory given for a block cannot be used any more (`condition::local_fault`).
};
std::error_code make_error_code(errc) noexcept;
}  // namespace shoal::wire
export template <>
struct std::is_error_code_enum<shoal::wire::errc> : std::true_type {};

export namespace shoal::wire {
/// Every bound of a conversation and its reason. A driver may tighten them, a test may make them small.
struct limits {
    /// The longest block that may come, and be asked for. Everybody asks for 16 KiB; some took 128 KiB of old.
    std::uint32_t block_max = 128 * 1024;
    /// The longest request we serve. BEP 3: "current implementations ... close connections which request more".
    std::uint32_t request_served_max = block_length;
    /// A longer request closes the connection; between the two it is rejected. Old clients asked for 128 KiB.
    std::uint32_t request_max = 128 * 1024;
    /// Extension messages: metadata pieces are 16 KiB; peer lists and hub news are less than this by far.
    std::uint32_t extension_max = 1024 * 1024;
    /// Messages we do not know, which are skipped without being kept.
    std::uint32_t unknown_max = 1024 * 1024;
    /// Our requests in flight, whatever the peer's `reqq` says: 32 MiB, the product of 2 GB/s and 16 ms.
    std::uint32_t requests_max = 2000;
    /// Requests in flight to a peer that tells no `reqq`. BEP 10: libtorrent's default.
    std::uint32_t requests_default = 250;
    /// Pieces we may ask for while choked; BEP 6 recommends 10, more are ignored.
    std::uint32_t allowed_fast_max = 64;
    /// Blocks that nobody asked for before the connection is closed. Blocks that may have crossed our cancel, or the
    /// peer's choke, are not counted.
    std::uint32_t unasked_blocks_max = 32;
    /// Messages that move nothing: keep-alives, flapping, known haves, suggestions, ports, unknown and extension
    /// messages. A sound client sends a few a second; 20 000 cost about a millisecond.
    pace idle_messages{20'000, 200};
    /// Requests that cannot be queued: while choked, or over `settings::reqq_own`. A whole pipeline crosses a choke.
    pace excess_requests{10'000, 500};
    /// Bytes of our own messages, without blocks, that may wait for a peer that does not read.
    std::size_t unsent_max = 1024 * 1024;

    /// We send a keep-alive after so much silence of ours. BEP 3 says two minutes; some clients close at just that.
    duration keep_alive_after = std::chrono::seconds{100};
    /// A peer this silent is gone: BEP 3's two minutes and a minute for a slow line.
    duration silence_max = std::chrono::minutes{3};
    /// The peer took no byte for so long although bytes were waiting: gone, or hostile (it holds our memory).
    duration stall_max = std::chrono::minutes{2};
    /// No block for so long although some were asked for: `event::snubbed`. BEP 3's anti-snubbing takes a minute;
    /// half of it keeps one slow peer from delaying the end of a transfer.
    duration snub_after = std::chrono::seconds{30};
    /// Extension handshakes that follow faster than this are ignored.
    duration extension_handshake_interval = std::chrono::seconds{1};
};

// How many requests to keep in flight.

/// A line is never idle between two blocks. All that is asked for before anything was measured, and after a pause: what
/// waits at a peer that serves many, nobody else can send meanwhile (docs/scheduling.md).
inline constexpr std::uint32_t pipeline_min = 4;
inline constexpr duration pipeline_pause = std::chrono::seconds{10};  ///< What was measured earlier may be wrong.
/// Who keeps us waiting longer for the next block, and than four round trips, sends in bursts.
inline constexpr duration pipeline_wait = std::chrono::milliseconds{250};
inline constexpr unsigned bursts_between_trials = 8;  ///< Of whether more requests bring more.
/// Asked ahead beyond the round trip, so that a disk or a scheduler that pauses leaves the line busy.
inline constexpr duration pipeline_ahead = std::chrono::milliseconds{250};

/// The handshake of the extension protocol: names in `m`, bytes of a name, bytes of `v`. Clients use under 20 names.
inline constexpr std::size_t extension_names_max = 64;
inline constexpr std::size_t extension_name_length_max = 64;
inline constexpr std::size_t client_name_length_max = 256;
/// The handshake as a whole; real ones have 100 to 500 bytes.
inline constexpr std::size_t extension_handshake_length_max = 64 * 1024;

/// The number of a message. Source: BEP 3, 5 (`port`), 6 (`suggest` to `allowed_fast`), 10 (`extended`).
enum class message : std::uint8_t {
    choke = 0,
    unchoke = 1,
    interested = 2,
    not_interested = 3,
    have = 4,
    bitfield = 5,
    request = 6,
    piece = 7,
    cancel = 8,
    port = 9,
    suggest = 13,
    have_all = 14,
    have_none = 15,
    reject = 16,
    allowed_fast = 17,
    extended = 20,
};

/// What both ends say first. Source: BEP 3 "peer protocol", BEP 6, 10, 52 for the reserved bits.
struct handshake {
    info_hash hash;
    peer_id id;
    bool fast = true;        ///< Fast extension, BEP 6.
    bool extensions = true;  ///< Extension protocol, BEP 10.
    bool v2 = false;         ///< The sender can upgrade to BitTorrent v2, BEP 52.
    bool dht = false;        ///< The sender has a DHT node, BEP 5.
    friend bool operator==(handshake const&, handshake const&) = default;
};
inline constexpr std::size_t handshake_length = 68;  ///< Bytes.

std::array<std::byte, handshake_length> encode(handshake const& from);
/// Fails with `errc::not_bittorrent` unless `bytes` are `handshake_length` bytes that start as they must. Reserved bits
/// that nobody has defined are ignored.
result<handshake> parse_handshake(byte_view bytes);
/// Whether `prefix`, of any length, can still become a handshake: refuse early what cannot.
bool is_handshake_start(byte_view prefix) noexcept;

/// The handshake of the extension protocol. Everything is optional. Source: BEP 10; BEP 9 (`metadata_size`), BEP 21
/// (`upload_only`).
struct extension_handshake_message {
    /// Extension name to the id under which the sender wants its messages; 0 switches one off.
    std::map<std::string, std::uint8_t> m{};
    std::optional<std::uint32_t> reqq{};           ///< Requests the sender queues without dropping any.
    std::optional<std::uint16_t> p{};              ///< TCP port the sender listens on.
    std::optional<std::string> v{};                ///< Client name and version. A stranger's text: show it `escaped`.
    std::optional<ip_address> yourip{};            ///< The receiver's address as the sender sees it.
    std::optional<std::uint32_t> metadata_size{};  ///< Bytes of the info dictionary.
    std::optional<bool> upload_only{};             ///< The sender wants no data.
    friend bool operator==(extension_handshake_message const&, extension_handshake_message const&) = default;
};

/// The bencoded dictionary, without message header and extension id.
byte_vector encode(extension_handshake_message const& from);
/// Lenient: values of a wrong type or out of range are left out, names in `m` with an id over 255 and ids used twice
/// are left out, a long `v` is cut; of a repeated key the first counts, whatever it holds. Fails with
/// `errc::bad_extension_handshake` when the payload is no dictionary, is longer than `extension_handshake_length_max`,
/// or has more than `extension_names_max` names.
result<extension_handshake_message> parse_extension_handshake(byte_view payload);
/// Adds what `later` says to `known`: `m` is additive, the rest replaces. Source: BEP 10.
void merge(extension_handshake_message& known, extension_handshake_message later);

/// The name in `m` of the extension by which Shoal peers measure a round trip. A message is a kind, 0 for the question
/// and 1 for the answer, and the eight bytes by which the asker knows it again.
inline constexpr std::string_view ping_extension = "sl_ping";
inline constexpr std::size_t ping_length = 9;  ///< Bytes.

struct ping_message {
    bool is_answer = false;
    std::uint64_t number = 0;  ///< The answer has that of the question.
    friend bool operator==(ping_message const&, ping_message const&) = default;
};
std::array<std::byte, ping_length> encode(ping_message const& from) noexcept;
/// Nothing unless the payload is a question or an answer of just that length.
std::optional<ping_message> parse_ping(byte_view payload) noexcept;

/// The name in `m` of the extension by which peers tell each other of peers. Source: BEP 11.
inline constexpr std::string_view exchange_extension = "ut_pex";
/// Peers of a message, added and dropped each; further ones are left out.
inline constexpr std::size_t exchanged_max = 50;
/// Between two messages of ours to one peer.
inline constexpr duration exchange_interval = std::chrono::minutes{1};

struct exchanged_peer {
    endpoint at;
    bool is_seed = false;       ///< It wants no data.
    bool is_reachable = false;  ///< The sender has connected to it.
    friend bool operator==(exchanged_peer const&, exchanged_peer const&) = default;
};
struct exchange_message {
    std::vector<exchanged_peer> added = {};
    std::vector<exchanged_peer> dropped = {};  ///< Without flags.
    friend bool operator==(exchange_message const&, exchange_message const&) = default;
};
byte_vector encode(exchange_message const& from);
/// Lenient: a list with half a peer at its end is left out, and so are peers with port 0. Nothing unless `payload` is a
/// dictionary.
std::optional<exchange_message> parse_exchange(byte_view payload);
}  // namespace shoal::wire

/// What a connection tells its driver. Indices and ranges are checked: they lie inside the torrent.
export namespace shoal::wire::event {
struct choked {};          ///< The peer stopped serving us. Lost requests follow as `rejected`.
struct unchoked {};        ///< The peer serves us.
struct interested {};      ///< The peer wants something of ours.
struct not_interested {};  ///< The peer wants nothing of ours.
/// The peer has got a piece; once for each piece.
struct have {
    piece_index piece;
};
/// All that the peer has: its bitfield, have-all or have-none, at the start; later only a bitfield that adds pieces.
struct has {
    bitfield pieces;
};
struct requested {};  ///< `next_upload()` has something.
/// A requested block is here.
struct block {
    block_ref ref;
    bool direct;  ///< Its bytes are at the destination; false when that was dead: then they are lost.
};
/// A request will not be served: rejected, or lost by a choke of a peer without the fast extension.
struct rejected {
    block_ref ref;
};
/// The peer suggests a piece, BEP 6. Advice; bounded by the message budget only.
struct suggested {
    piece_index piece;
};
/// This piece can be requested while choked, BEP 6.
struct allowed_fast {
    piece_index piece;
};
struct extension_handshake {};  ///< `connection::peer_extensions()` is new or has changed.
/// A message of an extension.
struct extension_message {
    std::uint8_t id;    ///< One of those that we gave in our `m`, or any other number.
    byte_view payload;  ///< Valid until the next input (`prepare`, `commit`, `receive`).
};
/// The peer cancelled a request that `next_upload()` had handed out, or that it never made. Not needed when the block
/// was sent; else with the fast extension `reject` or `send_block` must follow, without it nothing has to.
struct cancelled_upload {
    block_ref ref;
};
/// UDP port of the peer's DHT node, BEP 5. Never 0.
struct port {
    std::uint16_t number;
};
struct keep_alive {};  ///< Nothing, said politely.
struct snubbed {};     ///< No block came for `limits::snub_after` although some are asked for. Again after as long.
}  // namespace shoal::wire::event

export namespace shoal::wire {
using any_event = std::variant<event::choked, event::unchoked, event::interested, event::not_interested, event::have,
                               event::has, event::requested, event::block, event::rejected, event::suggested,
                               event::allowed_fast, event::extension_handshake, event::extension_message,
                               event::cancelled_upload, event::port, event::keep_alive, event::snubbed>;
}  // namespace shoal::wire
