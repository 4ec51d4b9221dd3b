module;
#include <chrono>
#include <cstddef>
#include <cstdint>

export module shoal.wire:limits;
import shoal.core;

export namespace shoal::wire {
/// Messages a second that cost us work and move no data; see `limits::idle_messages`.
struct budget_limit {
    std::uint32_t burst = 0;       ///< So many at once.
    std::uint32_t per_second = 0;  ///< So many more each second.
};

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
    budget_limit idle_messages{20'000, 200};
    /// Requests that cannot be queued: while choked, or over `settings::reqq_own`. A whole pipeline crosses a choke.
    budget_limit excess_requests{10'000, 500};
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

/// How many requests to keep in flight.
inline constexpr std::uint32_t pipeline_min = 4;     ///< A line is never idle between two blocks.
inline constexpr std::uint32_t pipeline_start = 16;  ///< Before anything was measured, and at most after a pause.
inline constexpr duration pipeline_pause = std::chrono::seconds{10};  ///< What was measured earlier may be wrong.
/// Asked ahead beyond the round trip, so that a disk or a scheduler that pauses leaves the line busy.
inline constexpr duration pipeline_ahead = std::chrono::milliseconds{250};

/// The handshake of the extension protocol: names in `m`, bytes of a name, bytes of `v`. Clients use under 20 names.
inline constexpr std::size_t extension_names_max = 64;
inline constexpr std::size_t extension_name_length_max = 64;
inline constexpr std::size_t client_name_length_max = 256;
/// The handshake as a whole; real ones have 100 to 500 bytes.
inline constexpr std::size_t extension_handshake_length_max = 64 * 1024;
}  // namespace shoal::wire
