module;
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

export module shoal.wire:metadata;
import shoal.core;
import :protocol;

/// Info dictionaries that peers send each other, for who has a magnet link alone. Source: BEP 9.
export namespace shoal::wire {
/// The name in `m`.
inline constexpr std::string_view metadata_extension = "ut_metadata";
inline constexpr std::uint32_t metadata_piece_length = 16 * 1024;  ///< Bytes; the last piece may be shorter.
/// The longest info dictionary that is fetched or sent: real ones end near 5 MB (class D1).
inline constexpr std::uint32_t metadata_size_max = 16u << 20;
/// Our requests in flight to one peer.
inline constexpr std::size_t metadata_requests_max = 8;
/// Bytes of other messages that are skipped before the peer is given up; its bitfield has at most 256 KiB.
inline constexpr std::size_t metadata_skipped_max = 4u << 20;
/// The slowest that a peer may send, bytes a second, besides its patience: who dribbles holds a place that an honest
/// one could have.
inline constexpr std::uint32_t metadata_rate_min = 32 * 1024;
/// A peer that brings nothing new for so long is given up.
inline constexpr duration metadata_patience = std::chrono::seconds{20};

struct metadata_message {
    enum class kind : std::uint8_t { request = 0, data = 1, reject = 2 };
    kind what = kind::request;
    std::uint32_t piece = 0;
    std::optional<std::uint32_t> total_size = {};  ///< Of the whole info dictionary; with `data`.
    byte_view data = {};                           ///< With `data`; points into what was parsed.
};
/// The payload of an extension message: a dictionary, and behind it the data.
byte_vector encode(metadata_message const& from);
/// Nothing unless `payload` starts with a dictionary that has a kind that BEP 9 knows and a piece number.
std::optional<metadata_message> parse_metadata_message(byte_view payload);
/// Bytes of one piece of an info dictionary of `size` bytes; 0 for a piece that it does not have.
std::uint32_t metadata_piece_size(std::uint32_t size, std::uint32_t piece) noexcept;

/// What a conversation about metadata tells the peer about us.
struct metadata_settings {
    std::string client = {};
    std::uint16_t port = 0;                 ///< Where we listen; 0: nowhere.
    std::optional<ip_address> remote = {};  ///< The peer's address.
    std::uint32_t size_max = metadata_size_max;
};

/// Our end of a conversation that has one aim, to fetch the info dictionary. It begins behind the handshake, which must
/// not have offered the fast extension: we could not say what we have. Whether the bytes are the right ones, only who
/// knows the info-hash can tell.
///
/// Give it what comes, send what it has to say, look at `complete()` and `deadline()`. After an error it is over.
/// Memory: what has come of the info dictionary, and one message.
class metadata_exchange {
public:
    metadata_exchange(metadata_settings settings, time_point now);

    /// Fails with `errc::no_metadata` when the peer cannot send any or refuses to, `bad_metadata` when what it says or
    /// sends cannot be right, `too_long`, `flood`, `bad_extension_handshake`.
    result<void> receive(byte_view bytes, time_point now);
    /// Fails with `errc::silent` when the peer had its time.
    result<void> wake(time_point now);
    time_point deadline() const noexcept { return deadline_ < finish_by_ ? deadline_ : finish_by_; }

    byte_view unsent() const noexcept { return byte_view{out_}.subspan(out_at_); }
    void sent(std::size_t count);

    /// What the peer says the info dictionary has; nothing before its extension handshake.
    std::optional<std::uint32_t> size() const noexcept { return size_; }
    bool complete() const noexcept { return size_ && pieces_had_ == piece_count(); }
    /// The info dictionary, once `complete()`.
    byte_vector take();

private:
    struct piece {
        byte_vector bytes;
        bool is_asked_for = false;
    };
    std::uint32_t piece_count() const noexcept { return (*size_ + metadata_piece_length - 1) / metadata_piece_length; }
    result<void> on_header();
    result<void> on_message(time_point now);
    result<void> on_handshake(byte_view payload, time_point now);
    result<void> on_metadata(byte_view payload, time_point now);
    void ask();
    void send(std::uint8_t id, byte_view payload);

    metadata_settings settings_;
    time_point deadline_;
    time_point finish_by_ = time_point::max();
    byte_vector out_;
    std::size_t out_at_ = 0;
    byte_vector message_;      // of the one that is arriving: length, id, extension id, and what is kept of the rest
    std::size_t wanted_ = 4;   // bytes of `message_` before the next decision
    std::size_t to_skip_ = 0;  // bytes still to come of one that is not kept
    std::size_t skipped_ = 0;
    std::uint8_t peer_id_ = 0;  // under which it wants our requests; 0: it has not told
    std::optional<std::uint32_t> size_;
    std::vector<piece> pieces_;  // as far as they were asked for
    std::uint32_t pieces_had_ = 0;
    std::size_t in_flight_ = 0;
};
}  // namespace shoal::wire
